"""Round robin: everyone meets everyone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.scorebook import Scorebook, means
from palaestra.core.ranking import Ranking


class RoundRobinConfig(ClassicalConfig):
    name: Literal["round-robin"] = "round-robin"


class RoundRobin:
    """N(N-1)/2 matches, all of them ready at once.

    Ranked by the share of matches won, a draw being half a win; equal shares by mean points; contestants
    that are equal in both share a rank. Seats decide nothing, and neither does the seed except for who
    is named first: everyone is in half of their matches, one more or less when N is even.
    """

    orders = None

    def __init__(self, contestants: Sequence[str], seed: int = 0) -> None:
        self._book = Scorebook(contestants)
        seats = random.Random(seed).sample(contestants, len(contestants))
        self._waiting = [Pairing("round robin", first, second) for first, second in _everyone(seats)]
        self.match_count = len(self._waiting)

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)

    def ranking(self) -> Ranking:
        shares, points = means(self._book.wins), means(self._book.points)
        order = {contestant: (shares[contestant], points[contestant]) for contestant in shares}
        return self._book.ranking(self._book.wins, order)


def _everyone(seats: Sequence[str]) -> list[tuple[str, str]]:
    """Each pair once: everyone first against the half of the circle that follows, opposites by turns."""
    size = len(seats)
    pairs = [
        (seats[seat], seats[(seat + distance) % size])
        for distance in range(1, (size + 1) // 2)
        for seat in range(size)
    ]
    if size % 2 == 0:
        opposites = [(seats[seat], seats[seat + size // 2]) for seat in range(size // 2)]
        pairs += [pair if turn % 2 else pair[::-1] for turn, pair in enumerate(opposites)]
    return pairs
