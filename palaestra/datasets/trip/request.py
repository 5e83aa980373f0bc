"""Who wants to see the city, when, for how much, and what they wish for."""

from __future__ import annotations

import random

from palaestra.core.record import Record
from palaestra.datasets.trip.city import CATEGORIES, clock

PARTIES = {"solo": 1, "couple": 2, "friends": 3, "family": 4}
PACES = {"slow": 3, "steady": 4, "brisk": 5}
"""Stops that make a good day at each pace."""


class Request(Record):
    party: str
    start: int
    """Minutes since midnight, as `end`."""
    end: int
    budget: int
    """Coins for everybody together."""
    wishes: tuple[str, ...]
    pace: str

    @property
    def people(self) -> int:
        return PARTIES[self.party]

    @property
    def stops(self) -> int:
        return PACES[self.pace]

    def prompt(self) -> str:
        return (
            f"Plan a day trip.\nparty: {self.party} ({self.people})\n"
            f"time: {clock(self.start)} to {clock(self.end)}\nbudget: {self.budget}\n"
            f"wishes: {', '.join(self.wishes)}\npace: {self.pace} ({self.stops} stops)"
        )


def draw_request(draw: random.Random) -> Request:
    party = draw.choice(list(PARTIES))
    wishes = draw.sample(CATEGORIES, k=draw.choice((2, 3)))
    return Request(
        party=party,
        start=60 * draw.choice((9, 10, 11)),
        end=60 * draw.choice((17, 18, 19, 20)),
        budget=PARTIES[party] * draw.choice((15, 20, 30, 40)),
        wishes=tuple(sorted(wishes)),
        pace=draw.choice(list(PACES)),
    )
