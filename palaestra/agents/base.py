"""What an agent is, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

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
    models: Mapping[Role, Model]
    sandbox: SandboxFactory
    meter: Meter
    sampling: Sampling
    emit: Sink

    async def generate(
        self, role: Role, messages: Sequence[Message], sampling: Sampling | None = None
    ) -> Completion:
        """One metered, recorded model call.

        Raises:
            BudgetExceeded: before the call, when a limit of the tree or of the run is used up.
            ModelError: the model did not answer.
        """
        self.meter.reserve()
        model = self.models[role]
        completion = await model.generate(messages, sampling or self.sampling)
        self.meter.charge(role, completion.usage, completion.cached)
        self.emit(
            CallMade(
                trajectory_id=self.trajectory_id,
                role=role,
                model=model.name,
                usage=completion.usage,
                cached=completion.cached,
            )
        )
        return completion


class Agent(Protocol):
    name: str

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        """Work until an answer or a limit. A failure is a trajectory with a status, not an exception."""
        ...
