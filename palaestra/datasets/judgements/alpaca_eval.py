"""AlpacaEval: the outputs of a model, and an annotator's preferences between two models."""

from __future__ import annotations

from pydantic import BaseModel, Field

from palaestra.core.record import digest
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote


class AlpacaOutput(BaseModel):
    """A row of `model_outputs.json`."""

    instruction: str
    output: str
    generator: str

    def group(self) -> JudgedGroup:
        return JudgedGroup(
            group=_identity(self.instruction),
            prompt=self.instruction,
            candidates={self.generator: self.output},
        )


class AlpacaAnnotation(BaseModel):
    """A row of `annotations.json`. In which order the annotator saw the two is not recorded."""

    instruction: str
    output_1: str
    output_2: str
    generator_1: str
    generator_2: str
    annotator: str = "annotator"
    preference: float | None = Field(default=None, ge=0, le=2)
    """1 for the first, 2 for the second, anything between by degree; 0 (of old) and 1.5 are ties."""

    def group(self) -> JudgedGroup:
        vote = RecordedVote(
            a=self.generator_1, b=self.generator_2, winner=None, judge=self.annotator, source="model"
        )
        if self.preference is not None:
            towards_second = 0.5 if self.preference < 1 else self.preference - 1
            scores = (10 * (1 - towards_second), 10 * towards_second)
            winner = "a" if towards_second < 0.5 else "b" if towards_second > 0.5 else "tie"
            vote = vote.model_copy(update={"winner": winner, "scores": scores})
        return JudgedGroup(
            group=_identity(self.instruction),
            prompt=self.instruction,
            candidates={self.generator_1: self.output_1, self.generator_2: self.output_2},
            votes=(vote,),
        )


def _identity(instruction: str) -> str:
    """As the loaders name a task that has no id."""
    return digest(instruction)[:12]
