"""What a run writes, in the order in which it happens: one writer, append-only.

Each event has a literal `kind`. The discriminated union is used for reading only; who writes names the class.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

from pydantic import Field, TypeAdapter

from palaestra.core.chat import ToolCall
from palaestra.core.ranking import Ranking
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Step, Trajectory
from palaestra.core.usage import Role, Usage
from palaestra.core.verdict import Judgement


class BaseEvent(Record):
    version: Literal[1] = 1
    at: float = Field(default_factory=time.time)
    """Seconds since 1970, UTC."""


class RunStarted(BaseEvent):
    """Written at every start of the run's process: once, and once more for every resume."""

    kind: Literal["run-started"] = "run-started"
    verb: str


class TaskLoaded(BaseEvent):
    kind: Literal["task-loaded"] = "task-loaded"
    task: Task


class CallMade(BaseEvent):
    """One model call that an agent made, sub-calls included."""

    kind: Literal["call-made"] = "call-made"
    trajectory_id: str
    role: Role
    model: str
    usage: Usage
    cached: bool


class Checkpoint(Record):
    """What it takes, beside the steps, to go on after one of them in another process."""

    replies: tuple[str, ...]
    """The model's messages in this turn, as they came."""
    answer: str
    """The best answer so far."""
    finished: bool
    """Whether it was the last step."""
    usage: Mapping[Role, Usage]
    """Of the trajectory and all below it."""
    seconds: float
    """Elapsed since the trajectory began."""
    tokens: int = 0
    """Of the conversation, as the model counted it last."""
    summary: str = ""
    """What replaced the conversation before this turn, if it had become too long."""
    session: str = ""
    """Where the journal keeps the variables; empty when there are none."""
    lost: Mapping[str, str] = Field(default_factory=dict)
    """Variables that could not be kept, with the reason."""
    children: tuple[str, ...] = ()
    """The sub-trajectories that have finished, by name."""
    calls: tuple[ToolCall, ...] = ()
    """What the model called natively."""
    results: tuple[str, ...] = ()
    """One for each of the calls."""


class StepTaken(BaseEvent):
    kind: Literal["step-taken"] = "step-taken"
    trajectory_id: str
    index: int
    step: Step
    checkpoint: Checkpoint | None = None
    """None in a run that cannot be resumed."""


class ChildFinished(BaseEvent):
    """A sub-trajectory of a recursive agent, also part of its parent's when that has finished."""

    kind: Literal["child-finished"] = "child-finished"
    trajectory: Trajectory


class TrajectoryFinished(BaseEvent):
    kind: Literal["trajectory-finished"] = "trajectory-finished"
    group: str = ""
    """The tournament that it plays in, if any."""
    trajectory: Trajectory


class JudgementGiven(BaseEvent):
    """One judge call for one pair in one order."""

    kind: Literal["judgement-given"] = "judgement-given"
    group: str
    stage: str
    """The topology's name for the round."""
    first: str
    second: str
    attempt: int = 0
    """Counts the times that this pair was asked in this order."""
    judge: str
    judgement: Judgement


class RankingMade(BaseEvent):
    kind: Literal["ranking-made"] = "ranking-made"
    group: str
    ranking: Ranking


class UpdateDone(BaseEvent):
    """One optimizer step, or an evaluation of the policy."""

    kind: Literal["update-done"] = "update-done"
    step: int
    phase: Literal["warm-start", "train", "evaluation"]
    metrics: Mapping[str, float]


class StepSkipped(BaseEvent):
    """A training step that left the policy as it was."""

    kind: Literal["step-skipped"] = "step-skipped"
    step: int
    reason: str


class CheckpointSaved(BaseEvent):
    kind: Literal["checkpoint-saved"] = "checkpoint-saved"
    step: int
    path: str
    """Relative to the run's folder."""


class RunFinished(BaseEvent):
    kind: Literal["run-finished"] = "run-finished"
    status: Literal["done", "failures", "limit", "interrupted", "error"]
    reason: str = ""
    usage: Mapping[Role, Usage] = Field(default_factory=dict)


Event = (
    RunStarted
    | TaskLoaded
    | CallMade
    | StepTaken
    | ChildFinished
    | TrajectoryFinished
    | JudgementGiven
    | RankingMade
    | UpdateDone
    | StepSkipped
    | CheckpointSaved
    | RunFinished
)

any_event: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


class Sink(Protocol):
    """Where events go. Called from one thread."""

    def __call__(self, event: Event, /) -> None: ...


def discard(event: Event, /) -> None:
    """The sink of a caller who keeps nothing."""
