"""What knock-outs share: the seeds, who is named first, and who goes on."""

from __future__ import annotations

import random
from collections.abc import Sequence

from palaestra.arena.topologies.anchor import against_the_first
from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.scorebook import Scorebook, means

SEEDING = "seeding"


class Knockout:
    """Seeds the contestants by matches against the first of them, or by lot, and draws up a bracket then.

    Seeds follow the mean points of one's own matches; equal means are ordered by a lot from `seed`, never by
    seat. Greater points win; a draw or a match without a verdict goes to the better seed.
    """

    orders = None

    def __init__(self, contestants: Sequence[str], seed: int, *, by_lot: bool = False) -> None:
        draw = random.Random(seed)
        self._book = Scorebook(contestants)
        lots = draw.sample(contestants, len(contestants))
        self._lots = {contestant: lot for lot, contestant in enumerate(lots)}
        self._waiting = [] if by_lot else against_the_first(SEEDING, contestants, draw)
        self._unseeded = len(self._waiting)
        self._times_first = dict.fromkeys(contestants, 0)
        for pairing in self._waiting:
            self._times_first[pairing.first] += 1
        self._seeds: dict[str, int] = {}
        """From 0, the best; empty until they are known."""
        self._occupants: dict[int, str | None] = {}
        """Of the places in the bracket that are decided; None where nobody can come."""
        if not self._unseeded:
            self._seed()

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)
        if pairing.stage != SEEDING:
            self._advance(pairing, outcome)
            return
        self._unseeded -= 1
        if not self._unseeded:
            self._seed()

    def _draw_up_bracket(self, by_seed: Sequence[str]) -> None:
        """Put the contestants into the places of their seeds."""
        raise NotImplementedError

    def _advance(self, pairing: Pairing, outcome: Outcome | None) -> None:
        """Let the sides of a match of the bracket go on, or out."""
        raise NotImplementedError

    def _seed(self) -> None:
        points = means(self._book.points)
        by_seed = sorted(points, key=lambda contestant: (-points[contestant], self._lots[contestant]))
        self._seeds = {contestant: seed for seed, contestant in enumerate(by_seed)}
        self._draw_up_bracket(by_seed)

    def _play(self, stage: str, *sides: str) -> Pairing:
        """Have two sides meet; who was named first less often is."""
        first, second = sorted(sides, key=lambda side: (self._times_first[side], self._lots[side]))
        self._times_first[first] += 1
        pairing = Pairing(stage, first, second)
        self._waiting.append(pairing)
        return pairing

    def _decide(self, pairing: Pairing, outcome: Outcome | None) -> tuple[str, str]:
        """The winner and the loser."""
        sides = pairing.first, pairing.second
        if outcome is None or outcome.first == outcome.second:
            winner, loser = sorted(sides, key=self._seeds.__getitem__)
            return winner, loser
        return sides if outcome.first > outcome.second else sides[::-1]


def standard_order(size: int) -> list[int]:
    """Seeds, from 0, in the order of the bracket's lines, for a size that is a power of two.

    >>> standard_order(8)
    [0, 7, 3, 4, 1, 6, 2, 5]
    """
    order = [0]
    while len(order) < size:
        order = [side for seed in order for side in (seed, 2 * len(order) - 1 - seed)]
    return order
