"""The one form into which every set of recorded judgements is brought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory

Side = Literal["a", "b"]
Source = Literal["label", "human", "model"]
"""label: the truth by construction of the data set; human and model: somebody's opinion."""


class RecordedVote(Record):
    """What a judge once said of two candidates."""

    a: str
    b: str
    winner: Literal["a", "b", "tie"] | None
    """None: the judge gave no usable answer."""
    judge: str
    source: Source
    first_shown: Side | None = None
    """None: not recorded."""
    scores: tuple[float, float] | None = None
    """(a, b), each 0 to 10; None where there is only a winner."""
    tokens: int | None = None
    """Of the call, in and out; None: not recorded."""


class JudgedGroup(Record):
    """Answers to one prompt, and what judges said of pairs of them."""

    group: str
    """Unique in its file; the id of the task."""
    prompt: str = ""
    candidates: Mapping[str, str] = Field(default_factory=dict)
    """The answers, by the name of who gave them."""
    votes: tuple[RecordedVote, ...] = ()
    reference: str | None = None

    @property
    def task(self) -> Task:
        return Task(id=self.group, prompt=self.prompt, reference=self.reference)

    def contestant(self, name: str) -> Trajectory:
        """A candidate's answer as the trajectory of a system of that name."""
        return Trajectory(
            id=f"{name}/{self.group}",
            task_id=self.group,
            agent=name,
            status="finished",
            answer=self.candidates[name],
        )
