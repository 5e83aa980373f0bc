"""The protocol of tournament topologies: who meets whom, and what the outcomes say about the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from palaestra.core.ranking import Ranking


class Pairing(NamedTuple):
    stage: str
    """The round, as a user reads it; with the two names it identifies the match within its tournament."""
    first: str
    second: str


class Outcome(NamedTuple):
    """Points of a match on one scale for all matches of a tournament; None when no verdict could be had."""

    first: float
    second: float


class Topology(Protocol):
    """A pure, seeded state machine without I/O.

    The same outcomes give the same ranking, in whatever order they arrive: a topology may decide on who
    meets whom next only when every outcome that the decision rests on is in.
    """

    def ready(self) -> Sequence[Pairing]:
        """The pairings that can be played now, without those already handed out."""
        ...

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        """Take the outcome of a pairing that was handed out; None advances the better seed and is marked."""
        ...

    def ranking(self) -> Ranking:
        """The order that the outcomes so far support; complete when nothing is ready or under way."""
        ...
