"""The protocol of tournament topologies: who meets whom, and what the outcomes say about the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from pydantic import Field

from palaestra.core.ranking import Ranking
from palaestra.core.record import Record

Orders = Literal["both", "one"]
"""Whether a pairing is asked twice, with either contestant shown first, or once as it is named."""


class Pairing(NamedTuple):
    stage: str
    """The round, as a user reads it; with the two names it identifies the match within its tournament."""
    first: str
    second: str


class Outcome(NamedTuple):
    """Points of a match on one scale for all matches of a tournament; None when no verdict could be had."""

    first: float
    second: float
    orders: int = 1
    """Judge calls that these are the mean of: 2 when the pair was shown in both orders."""


class ClassicalConfig(Record):
    """Of the topologies that rank by wins or rounds."""

    rerank: Literal["posterior"] | None = None
    """posterior: rank by the posterior mean of everyone's worth given all matches, at no further call."""


class BudgetedConfig(Record):
    """Of the topologies that play as many matches as they may and rank by the posterior."""

    budget: int | None = Field(default=None, ge=1)
    """Judge calls for a group, repeats of failed ones not counted; null is 4(N-1), what single elimination
    takes. Once every pair has been asked in both orders nothing is left to ask."""

    def calls(self, contestants: int) -> int:
        return 4 * (contestants - 1) if self.budget is None else self.budget


class Topology(Protocol):
    """A pure, seeded state machine without I/O.

    The same outcomes give the same ranking, in whatever order they arrive: a topology may decide on who
    meets whom next only when every outcome that the decision rests on is in.
    """

    match_count: int
    """Matches that it takes, at most."""

    @property
    def orders(self) -> Orders | None:
        """How its pairings must be asked; None leaves it to the tournament."""
        ...

    def ready(self) -> Sequence[Pairing]:
        """The pairings that can be played now, without those already handed out."""
        ...

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        """Take the outcome of a pairing that was handed out; None advances the better seed and is marked."""
        ...

    def ranking(self) -> Ranking:
        """The order that the outcomes so far support; complete when nothing is ready or under way."""
        ...
