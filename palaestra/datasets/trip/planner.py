"""A scripted planner that makes the mistakes of a hurried person: the teacher of the warm start.

It knows the format and the city, forgets wishes, wanders, overspends and misreads opening hours. Imitating it
gives a policy that writes plans; ranking must make the plans good.
"""

from __future__ import annotations

import random

from palaestra.datasets.trip.city import STEP, City, Place
from palaestra.datasets.trip.plan import Stop
from palaestra.datasets.trip.request import Request

HEEDS_WISH = 0.6
"""Probability that the next stop is chosen for a wish that is still open."""
MISTIMES = 0.25
"""Probability that an arrival is half an hour too early, or so late that something closes."""


def hurried_plan(city: City, request: Request, draw: random.Random) -> list[Stop]:
    open_wishes = list(request.wishes)
    places = list(city.places.values())
    stops: list[Stop] = []
    now, here = request.start, None
    for _ in range(max(1, request.stops + draw.choice((-1, 0, 0, 1)))):
        place = _choose(places, open_wishes, draw)
        places.remove(place)
        if place.category in open_wishes:
            open_wishes.remove(place.category)
        arrival = now + (city.travel(here, place) if here else 0)
        if draw.random() < MISTIMES:
            arrival += draw.choice((-STEP, STEP))
        else:
            arrival = max(arrival, place.opens)
        if arrival >= request.end:
            break
        stops.append(Stop(arrival, place.name))
        now, here = arrival + place.visit, place
    return stops


def _choose(places: list[Place], open_wishes: list[str], draw: random.Random) -> Place:
    wished = [place for place in places if place.category in open_wishes]
    return draw.choice(wished if wished and draw.random() < HEEDS_WISH else places)
