"""What a plan is worth to the people who asked for it: hidden from agents, computable by a judge."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from palaestra.datasets.trip.city import City, Place
from palaestra.datasets.trip.plan import Stop
from palaestra.datasets.trip.request import Request

WORST_TRAVEL = 180
"""Minutes on the way at which a day has lost all of its points for travel."""


class Assessment(NamedTuple):
    """Every part is in [0, 1], 1 is best."""

    feasibility: float
    """Share of the stops that can be made: a known, new place, open for the whole visit, reached in time."""
    coverage: float
    """Share of the wishes that a feasible stop fulfils."""
    pace: float
    """How close the number of feasible stops is to the one asked for."""
    budget: float
    """1 within the budget, falling to 0 at twice the budget."""
    travel: float
    """1 without travel, falling to 0 at `WORST_TRAVEL` minutes."""

    @property
    def utility(self) -> float:
        """In [0, 1]. Only what can be carried out counts, so feasibility multiplies the rest."""
        quality = 0.4 * self.coverage + 0.2 * self.pace + 0.2 * self.budget + 0.2 * self.travel
        return self.feasibility * quality


NOTHING = Assessment(feasibility=0.0, coverage=0.0, pace=0.0, budget=0.0, travel=0.0)


def assess(city: City, request: Request, stops: list[Stop]) -> Assessment:
    """Walk through the plan as written; a stop that cannot be made is left out and the walk goes on."""
    made = _feasible_places(city, request, stops)
    if not made:
        return NOTHING
    wishes = set(request.wishes)
    cost = request.people * sum(place.price for place in made)
    on_the_way = sum(city.travel(start, end) for start, end in pairwise(made))
    return Assessment(
        feasibility=len(made) / len(stops),
        coverage=len(wishes & {place.category for place in made}) / len(wishes),
        pace=max(0.0, 1 - abs(len(made) - request.stops) / request.stops),
        budget=min(1.0, max(0.0, 2 - cost / request.budget)),
        travel=max(0.0, 1 - on_the_way / WORST_TRAVEL),
    )


def _feasible_places(city: City, request: Request, stops: list[Stop]) -> list[Place]:
    made: list[Place] = []
    free_at = request.start
    for stop in stops:
        place = city.places.get(stop.place)
        if place is None or place in made:
            continue
        earliest = free_at + (city.travel(made[-1], place) if made else 0)
        leaves = stop.arrival + place.visit
        if max(earliest, place.opens) <= stop.arrival and leaves <= min(place.closes, request.end):
            made.append(place)
            free_at = leaves
    return made
