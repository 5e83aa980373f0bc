"""Anchor: everyone meets the first contestant."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.scorebook import Scorebook, means
from palaestra.core.ranking import Ranking


class AnchorConfig(ClassicalConfig):
    name: Literal["anchor"] = "anchor"


class Anchor:
    """N-1 matches, all of them ready at once; the first contestant is the anchor.

    Ranked by the mean points of one's own matches: of the only one, or of all N-1 for the anchor. Equal
    means share a rank. The seed decides only who is named first.
    """

    orders = None

    def __init__(self, contestants: Sequence[str], seed: int = 0) -> None:
        self._book = Scorebook(contestants)
        self.match_count = len(contestants) - 1
        self._waiting = against_the_first("anchor", contestants, random.Random(seed))

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)

    def ranking(self) -> Ranking:
        return self._book.ranking(self._book.points, order=means(self._book.points))


def against_the_first(stage: str, contestants: Sequence[str], draw: random.Random) -> list[Pairing]:
    """Everyone else against the first contestant, who is named first and second by turns."""
    anchor, *others = contestants
    start = draw.randrange(2)
    return [
        Pairing(stage, anchor, other) if turn % 2 else Pairing(stage, other, anchor)
        for turn, other in enumerate(draw.sample(others, len(others)), start)
    ]
