"""Seeded single elimination, the tournament of ArenaRL (arXiv 2601.06487)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

from palaestra.arena.bracket import Bracket, BracketMatch, Side
from palaestra.arena.topologies.anchor import against_the_first
from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.scorebook import Scorebook, means
from palaestra.core.ranking import Ranking

SEEDING = "seeding"


class SingleEliminationConfig(ClassicalConfig):
    name: Literal["single-elimination"] = "single-elimination"


class SingleElimination:
    """2(N-1) matches: N-1 for the seeds, then a knock-out bracket of N-1.

    1. *Seeding.* The first contestant is the anchor and meets everyone else once. Seeds follow the mean
       points of one's own matches; equal means are ordered by a lot from the seed, never by seat.
    2. *Bracket* in standard order (1-16, 8-9, 4-13, …), so that the best two seeds can meet in the final
       only. When N is not a power of two the missing opponents are those of the top seeds. Greater
       points win; a draw or a match without a verdict goes to the better seed. A match is ready as soon
       as both sides are known, whatever the rest of the round does.
    3. *Ranking* by the round of the defeat; within a round by mean points over all of one's matches,
       seeding included, where equal means share a rank. `score` is that mean.

    When every match was a draw and all means are equal, the lot is all there is to the order: nothing is
    decided then, and everyone shares the first rank.
    """

    orders = None

    def __init__(self, contestants: Sequence[str], seed: int = 0) -> None:
        draw = random.Random(seed)
        self._book = Scorebook(contestants)
        self.match_count = 2 * (len(contestants) - 1)
        lots = draw.sample(contestants, len(contestants))
        self._lots = {contestant: lot for lot, contestant in enumerate(lots)}
        self._waiting = against_the_first(SEEDING, contestants, draw)
        self._times_first = dict.fromkeys(contestants, 0)
        self._unseeded = len(self._waiting)
        self._seeds: dict[str, int] = {}
        self._occupants: dict[int, str | None] = {}
        """The bracket as a heap: 1 is the champion's place, 2 and 3 the sides of the final, and so on; the
        leaves hold the seeds, None where a side is missing."""
        self._matches: dict[Pairing, int] = {}
        """Which place a bracket match is about."""
        self._points: dict[int, Mapping[str, float]] = {}
        """What the two sides got in it; empty without a verdict."""
        for pairing in self._waiting:
            self._times_first[pairing.first] += 1
        if not self._unseeded:
            self._draw_up_bracket()

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)
        if pairing.stage == SEEDING:
            self._unseeded -= 1
            if not self._unseeded:
                self._draw_up_bracket()
            return
        place = self._matches[pairing]
        self._points[place] = (
            {pairing.first: outcome.first, pairing.second: outcome.second} if outcome else {}
        )
        self._occupy(place, self._winner(pairing, outcome))

    def ranking(self) -> Ranking:
        points = means(self._book.points)
        if self._book.is_level:
            return self._book.ranking(self._book.points, order=points)
        reached = {contestant: self._rounds + 1 for contestant in points}
        for place, contestant in self._occupants.items():
            if contestant is not None:
                reached[contestant] = min(reached[contestant], _depth(place))
        order = {contestant: (-reached[contestant], points[contestant]) for contestant in points}
        return self._book.ranking(self._book.points, order)

    @property
    def bracket(self) -> Bracket:
        """The bracket as it stands, first round first; without rounds until the seeds are known."""
        depths = range(self._rounds - 1, -1, -1) if self._seeds else ()
        return Bracket(
            rounds=tuple(
                tuple(self._match(place) for place in range(2**depth, 2 ** (depth + 1))) for depth in depths
            ),
            champion=self._occupants.get(1),
        )

    @property
    def _rounds(self) -> int:
        return (len(self._book.contestants) - 1).bit_length()

    def _draw_up_bracket(self) -> None:
        points = means(self._book.points)
        by_seed = sorted(points, key=lambda contestant: (-points[contestant], self._lots[contestant]))
        self._seeds = {contestant: seed for seed, contestant in enumerate(by_seed)}
        size = 2**self._rounds
        for leaf, seed in enumerate(standard_order(size), start=size):
            self._occupy(leaf, by_seed[seed] if seed < len(by_seed) else None)

    def _occupy(self, place: int, contestant: str | None) -> None:
        """Put a contestant into a place; with the other side known, make the match or give the bye."""
        self._occupants[place] = contestant
        if place == 1 or place ^ 1 not in self._occupants:
            return
        above = place // 2
        left, right = self._occupants[2 * above], self._occupants[2 * above + 1]
        if left is None or right is None:
            self._occupy(above, right if left is None else left)
            return
        first, second = sorted((left, right), key=lambda side: (self._times_first[side], self._lots[side]))
        self._times_first[first] += 1
        pairing = Pairing(_stage(above), first, second)
        self._matches[pairing] = above
        self._waiting.append(pairing)

    def _winner(self, pairing: Pairing, outcome: Outcome | None) -> str:
        if outcome is None or outcome.first == outcome.second:
            return min(pairing.first, pairing.second, key=self._seeds.__getitem__)
        return pairing.first if outcome.first > outcome.second else pairing.second

    def _match(self, place: int) -> BracketMatch:
        points = self._points.get(place, {})
        sides = [
            Side(contestant, self._seeds[contestant] + 1, points.get(contestant)) if contestant else None
            for contestant in (self._occupants.get(2 * place), self._occupants.get(2 * place + 1))
        ]
        return BracketMatch(_stage(place), sides[0], sides[1], winner=self._occupants.get(place))


def standard_order(size: int) -> list[int]:
    """Seeds, from 0, in the order of the bracket's lines, for a size that is a power of two.

    >>> standard_order(8)
    [0, 7, 3, 4, 1, 6, 2, 5]
    """
    order = [0]
    while len(order) < size:
        order = [side for seed in order for side in (seed, 2 * len(order) - 1 - seed)]
    return order


def _depth(place: int) -> int:
    return place.bit_length() - 1


def _stage(place: int) -> str:
    sides = 2 ** (_depth(place) + 1)
    return {2: "final", 4: "semi-final", 8: "quarter-final"}.get(sides, f"round of {sides}")
