"""Who wants to see the city, when, for how much, and what they wish for."""

from __future__ import annotations

from itertools import combinations, product

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


def all_requests() -> list[Request]:
    """Every request that there is, 20,160 of them."""
    wishes = [pick for size in (2, 3) for pick in combinations(CATEGORIES, size)]
    choices = product(PARTIES, (9, 10, 11), (17, 18, 19, 20), (15, 20, 30, 40), wishes, PACES)
    return [
        Request(
            party=party,
            start=60 * start,
            end=60 * end,
            budget=PARTIES[party] * each,
            wishes=tuple(sorted(picked)),
            pace=pace,
        )
        for party, start, end, each, picked, pace in choices
    ]
