"""What an agent did: τ = [z₁, a₁, o₁, …, y]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from palaestra.core.chat import TokenTrace
from palaestra.core.record import Record
from palaestra.core.usage import Role, Usage

Status = Literal["finished", "limit", "error", "cancelled"]
"""finished: it answered; limit: its budget ended it; error: a boundary failed; cancelled: the user did."""


class Action(Record):
    kind: Literal["code", "tool", "answer"]
    name: str = ""
    """The tool's name; empty for code and answers."""
    content: str
    """The code, the tool's argument or the answer."""


class Step(Record):
    """One turn: the model's thought, what it did, and what came back."""

    thought: str
    actions: tuple[Action, ...] = ()
    observation: str = ""
    usage: Usage = Usage()
    """The turn's own model call; calls made by its actions are in the trajectory's account."""
    seconds: float = 0.0
    """Elapsed, model and actions together."""


class Trajectory(Record):
    id: str
    task_id: str
    agent: str
    """Who made it: an agent's name, or a system's in an imported file."""
    status: Status
    answer: str
    """Empty when there is none."""
    steps: tuple[Step, ...] = ()
    reason: str = ""
    """Why it ended, unless it finished."""
    usage: Mapping[Role, Usage] = Field(default_factory=dict)
    """Of the whole call tree."""
    seconds: float = 0.0
    children: tuple[Trajectory, ...] = ()
    """Sub-trajectories of a recursive agent."""
    trace: TokenTrace | None = None
    """Only when sampled from a policy that can be trained."""
