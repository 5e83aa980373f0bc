"""What a judge said of two trajectories, shown in one order."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from palaestra.core.record import Record
from palaestra.core.usage import Usage

Winner = Literal["first", "second", "tie"]


class Verdict(Record):
    kind: Literal["verdict"] = "verdict"
    winner: Winner
    scores: tuple[float, float]
    """(first, second), each 0 to 10; a judge that names only a winner gives 10/0, 5/5 or 0/10."""
    rationale: str = ""
    usage: Usage = Usage()

    @classmethod
    def from_scores(
        cls, first: float, second: float, *, rationale: str = "", usage: Usage | None = None
    ) -> Verdict:
        winner: Winner = "first" if first > second else "second" if second > first else "tie"
        return cls(winner=winner, scores=(first, second), rationale=rationale, usage=usage or Usage())


class NoVerdict(Record):
    """The judge was asked and gave no usable answer: neither a tie nor a loss for anybody."""

    kind: Literal["no-verdict"] = "no-verdict"
    reason: str
    usage: Usage = Usage()


Judgement = Annotated[Verdict | NoVerdict, Field(discriminator="kind")]
