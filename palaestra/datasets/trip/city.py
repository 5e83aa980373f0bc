"""A synthetic city: places with category, district, price, opening hours and length of a visit.

Times are minutes since midnight on a grid of half hours, prices are whole coins per person, and travel takes
half an hour per district crossed. One seed gives one city, the same on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import NamedTuple

STEP = 30
"""Minutes between two points of the time grid."""


class Place(NamedTuple):
    name: str
    category: str
    district: tuple[int, int]
    price: int
    opens: int
    closes: int
    visit: int
    """Minutes that a visit takes."""


class Profile(NamedTuple):
    """What the places of a category have in common; each range is (least, most)."""

    nouns: tuple[str, ...]
    price: tuple[int, int]
    opens: tuple[int, int]
    closes: tuple[int, int]
    visit: tuple[int, int]


PROFILES: Mapping[str, Profile] = {
    "museum": Profile(("Museum", "Gallery"), (6, 14), (10, 11), (16, 18), (60, 120)),
    "park": Profile(("Park", "Garden"), (0, 0), (8, 9), (18, 20), (30, 90)),
    "food": Profile(("Bistro", "Diner"), (8, 20), (11, 12), (15, 21), (60, 60)),
    "view": Profile(("Tower", "Terrace"), (2, 8), (9, 12), (17, 20), (30, 60)),
    "market": Profile(("Market", "Arcade"), (0, 4), (8, 9), (12, 15), (30, 60)),
    "music": Profile(("Hall", "Club"), (10, 24), (14, 17), (20, 22), (60, 120)),
}
CATEGORIES = tuple(PROFILES)
_NAMES = (
    "Amber",
    "Birch",
    "Cedar",
    "Dover",
    "Ember",
    "Frost",
    "Grove",
    "Heron",
    "Ivory",
    "Jasper",
    "Karst",
    "Lotus",
)
_BLOCKS = 3
_PLACES = 24


class City(NamedTuple):
    places: Mapping[str, Place]

    def travel(self, start: Place, end: Place) -> int:
        """Minutes from one place to another: half an hour for each district crossed."""
        (x, y), (u, v) = start.district, end.district
        return STEP * max(abs(x - u), abs(y - v))

    def guide(self) -> str:
        """The city as a visitor reads it: all that a planner needs to know."""
        header = "place | category | district | price | opens | closes | visit (minutes)"
        rows = (
            f"{p.name} | {p.category} | {p.district[0]},{p.district[1]} | {p.price} "
            f"| {clock(p.opens)} | {clock(p.closes)} | {p.visit}"
            for p in self.places.values()
        )
        rule = f"Travel takes {STEP} minutes per district crossed, diagonals too, and none within a district."
        return "\n".join([header, *rows, rule])


@cache
def build_city(seed: int = 0) -> City:
    """The city that `seed` names."""
    draw = random.Random(seed)
    names = draw.sample(list(product(_NAMES, range(2))), k=_PLACES)
    districts = [(x, y) for x in range(_BLOCKS) for y in range(_BLOCKS)]
    places: dict[str, Place] = {}
    for index, (first, noun) in enumerate(names):
        category = CATEGORIES[index % len(CATEGORIES)]
        profile = PROFILES[category]
        place = Place(
            name=f"{first} {profile.nouns[noun]}",
            category=category,
            district=draw.choice(districts),
            price=draw.randint(*profile.price),
            opens=60 * draw.randint(*profile.opens),
            closes=60 * draw.randint(*profile.closes),
            visit=draw.randrange(profile.visit[0], profile.visit[1] + 1, STEP),
        )
        places[place.name] = place
    return City(places)


def clock(minutes: int) -> str:
    """
    >>> clock(570)
    '09:30'
    """
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
