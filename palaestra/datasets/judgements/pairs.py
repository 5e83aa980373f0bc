"""The plainest form of labelled pairs, for files of one's own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from palaestra.core.record import digest
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote


class LabelledPair(BaseModel):
    """A row with a prompt, two answers and the better of them."""

    prompt: str
    answer_a: str
    answer_b: str
    winner: Literal["a", "b", "tie"]
    id: str | int | None = None
    reference: str | None = None
    judge: str = "human"

    def group(self) -> JudgedGroup:
        identity = digest([self.prompt, self.answer_a, self.answer_b])[:12]
        vote = RecordedVote(a="a", b="b", winner=self.winner, judge=self.judge, source="human")
        return JudgedGroup(
            group=identity if self.id is None else str(self.id),
            prompt=self.prompt,
            candidates={"a": self.answer_a, "b": self.answer_b},
            votes=(vote,),
            reference=self.reference,
        )
