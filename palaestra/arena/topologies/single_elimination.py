"""Seeded single elimination, the tournament of ArenaRL (arXiv 2601.06487)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from palaestra.arena.bracket import Bracket, BracketMatch, Side
from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.knockout import Knockout, standard_order
from palaestra.arena.topologies.scorebook import means
from palaestra.core.ranking import Ranking


class SingleEliminationConfig(ClassicalConfig):
    name: Literal["single-elimination"] = "single-elimination"


class SingleElimination(Knockout):
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

    def __init__(self, contestants: Sequence[str], seed: int = 0) -> None:
        self.match_count = 2 * (len(contestants) - 1)
        self._rounds = (len(contestants) - 1).bit_length()
        self._matches: dict[Pairing, int] = {}
        """Which place a bracket match is about. The places are a heap: 1 is the champion's, 2 and 3 are the
        sides of the final, and so on; the leaves hold the seeds."""
        self._points: dict[int, Mapping[str, float]] = {}
        """What the two sides got in it; empty without a verdict."""
        super().__init__(contestants, seed)

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

    def _draw_up_bracket(self, by_seed: Sequence[str]) -> None:
        size = 2**self._rounds
        for leaf, seed in enumerate(standard_order(size), start=size):
            self._occupy(leaf, by_seed[seed] if seed < len(by_seed) else None)

    def _advance(self, pairing: Pairing, outcome: Outcome | None) -> None:
        place = self._matches[pairing]
        self._points[place] = (
            {pairing.first: outcome.first, pairing.second: outcome.second} if outcome else {}
        )
        winner, _ = self._decide(pairing, outcome)
        self._occupy(place, winner)

    def _occupy(self, place: int, contestant: str | None) -> None:
        """Put a contestant into a place; with the other side known, make the match or give the bye."""
        self._occupants[place] = contestant
        if place == 1 or place ^ 1 not in self._occupants:
            return
        above = place // 2
        left, right = self._occupants[2 * above], self._occupants[2 * above + 1]
        if left is None or right is None:
            self._occupy(above, right if left is None else left)
        else:
            self._matches[self._play(_stage(above), left, right)] = above

    def _match(self, place: int) -> BracketMatch:
        points = self._points.get(place, {})
        sides = [
            Side(contestant, self._seeds[contestant] + 1, points.get(contestant)) if contestant else None
            for contestant in (self._occupants.get(2 * place), self._occupants.get(2 * place + 1))
        ]
        return BracketMatch(_stage(place), sides[0], sides[1], winner=self._occupants.get(place))


def _depth(place: int) -> int:
    return place.bit_length() - 1


def _stage(place: int) -> str:
    sides = 2 ** (_depth(place) + 1)
    return {2: "final", 4: "semi-final", 8: "quarter-final"}.get(sides, f"round of {sides}")
