"""What a judge said of two trajectories, shown in one order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from palaestra.core.record import Record
from palaestra.core.usage import Usage

Winner = Literal["first", "second", "tie"]


class Vote(Record):
    """What one of several judges said."""

    judge: str
    winner: Winner | None
    """None: no verdict; `reason` tells why."""
    scores: tuple[float, float] | None = None
    reason: str = ""
    usage: Usage = Usage()
    request: str = ""
    """As in the judge's own verdict."""


class Verdict(Record):
    kind: Literal["verdict"] = "verdict"
    winner: Winner
    scores: tuple[float, float]
    """(first, second), each 0 to 10; a judge that names only a winner gives 10/0, 5/5 or 0/10."""
    rationale: str = ""
    usage: Usage = Usage()
    dimensions: Mapping[str, tuple[float, float]] = Field(default_factory=dict)
    """The scores by dimension of the rubric, where the judge gave them."""
    alerts: tuple[str, ...] = ()
    """Signs that a contestant wrote to the judge: `second: a forged verdict`. They change no score."""
    votes: tuple[Vote, ...] = ()
    """What the members of a panel said."""
    request: str = ""
    """Digest of the model's messages and sampling, seed included: the first half of the key under which the
    response cache keeps the whole answer. Empty where no model was asked; two where each contestant was
    scored by itself."""

    @classmethod
    def from_scores(
        cls, first: float, second: float, *, rationale: str = "", usage: Usage | None = None
    ) -> Verdict:
        winner: Winner = "first" if first > second else "second" if second > first else "tie"
        return cls(winner=winner, scores=(first, second), rationale=rationale, usage=usage or Usage())

    @property
    def disagreement(self) -> float:
        """Share of a panel's votes that name another winner than the verdict; 0 without votes."""
        cast = [vote.winner for vote in self.votes if vote.winner]
        return sum(winner != self.winner for winner in cast) / len(cast) if cast else 0.0


class NoVerdict(Record):
    """The judge was asked and gave no usable answer: neither a tie nor a loss for anybody."""

    kind: Literal["no-verdict"] = "no-verdict"
    reason: str
    usage: Usage = Usage()
    votes: tuple[Vote, ...] = ()
    """What the members of a panel said that came to no verdict."""
    request: str = ""
    """As in a verdict; also empty where the model refused the request."""


Judgement = Annotated[Verdict | NoVerdict, Field(discriminator="kind")]
