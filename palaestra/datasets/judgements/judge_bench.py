"""JudgeBench (2410.12784): pairs of answers of which one is right, and judges' recorded decisions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote, Side

_WINNERS: dict[str, Side] = {"A>B": "a", "B>A": "b"}


class _Judgment(BaseModel):
    decision: str | None = None
    """By place: A is who was shown first."""
    judgment: dict[str, Any] | None = None


class JudgeBenchPair(BaseModel):
    """A row of its data or of its outputs, where the second judgement saw the answers in the other order."""

    pair_id: str
    question: str
    response_A: str
    response_B: str
    label: Literal["A>B", "B>A"]
    judge_name: str = "judge"
    judgments: list[_Judgment | None] = Field(default_factory=list)

    def group(self) -> JudgedGroup:
        label = RecordedVote(a="A", b="B", winner=_WINNERS[self.label], judge="label", source="label")
        recorded = [self._vote(index, judgment) for index, judgment in enumerate(self.judgments)]
        return JudgedGroup(
            group=self.pair_id,
            prompt=self.question,
            candidates={"A": self.response_A, "B": self.response_B},
            votes=(label, *recorded),
        )

    def _vote(self, index: int, judgment: _Judgment | None) -> RecordedVote:
        decision = (judgment.decision if judgment else None) or ""
        about = (judgment.judgment if judgment else None) or {}
        swapped = index % 2 == 1
        winner = _WINNERS.get(decision[::-1] if swapped else decision)
        return RecordedVote(
            a="A",
            b="B",
            winner="tie" if decision == "A=B" else winner,
            judge=str(about.get("judge_model") or self.judge_name),
            source="model",
            first_shown="b" if swapped else "a",
        )
