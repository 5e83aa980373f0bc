"""What an agent is, and what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from palaestra.agents.journal import Journal
from palaestra.core.budget import Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.events import CallMade, Sink
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Role
from palaestra.models.base import Model
from palaestra.sandbox.base import SandboxFactory


@dataclass(frozen=True)
class AgentContext:
    """Everything that one trajectory may use. `generate` is the only way to a model."""

    trajectory_id: str
    models: Sequence[Model]
    """By depth: the agent's own, that of what it asks, and so on; the last serves all that are deeper."""
    sandbox: SandboxFactory
    meter: Meter
    sampling: Sampling
    emit: Sink
    journal: Journal | None = None
    """Where the trajectory is found again by a later process; None when it need not be."""
    depth: int = 0
    """Levels above: 0 is the root of a tree."""

    @property
    def model(self) -> Model:
        return self.models[min(self.depth, len(self.models) - 1)]

    def below(self, trajectory_id: str, sampling: Sampling, meter: Meter) -> AgentContext:
        """The same, one level down."""
        return replace(
            self, trajectory_id=trajectory_id, sampling=sampling, meter=meter, depth=self.depth + 1
        )

    async def generate(self, messages: Sequence[Message], sampling: Sampling | None = None) -> Completion:
        """One metered, recorded model call.

        Raises:
            BudgetExceeded: before the call, when a limit of the tree or of the run is used up.
            ModelError: the model did not answer.
        """
        self.meter.reserve()
        role: Role = "policy" if self.depth == 0 else "sub"
        completion = await self.model.generate(messages, sampling or self.sampling)
        self.meter.charge(role, completion.usage, completion.cached)
        self.emit(
            CallMade(
                trajectory_id=self.trajectory_id,
                role=role,
                model=self.model.name,
                usage=completion.usage,
                cached=completion.cached,
            )
        )
        return completion


class Agent(Protocol):
    name: str
    uses_sandbox: bool
    """Whether it may have code run."""

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        """Work until an answer or a limit. A failure is a trajectory with a status, not an exception."""
        ...
