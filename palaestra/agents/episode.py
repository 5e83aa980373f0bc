"""What one trajectory has come to so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

from palaestra.agents.base import AgentContext
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import BudgetExceeded, DataError, ModelError, SandboxError
from palaestra.core.events import StepTaken
from palaestra.core.task import Task
from palaestra.core.trajectory import Status, Step, Trajectory
from palaestra.core.usage import Usage


class Episode:
    """The conversation, the steps and the answer of one agent at work on one task."""

    def __init__(self, agent: str, task: Task, context: AgentContext) -> None:
        self.task = task
        self.context = context
        self.messages: list[Message] = []
        self.answer = ""
        """The best answer so far: what is left when a limit ends the episode."""
        self._agent = agent
        self._steps: list[Step] = []
        self._usage = Usage()
        self._began = self._turn_began = time.monotonic()

    def tell(self, text: str) -> None:
        self.messages.append(Message(role="user", content=text))

    async def ask(self, sampling: Sampling | None = None) -> Completion:
        """The model's next message, which joins the conversation.

        It ends before the first stop text, whether or not the model heeds them.
        """
        sampling = sampling or self.context.sampling
        completion = await self.context.generate("policy", self.messages, sampling)
        self._usage += completion.usage
        for stop in sampling.stop:
            completion = completion.model_copy(update={"text": completion.text.partition(stop)[0]})
        self.messages.append(Message(role="assistant", content=completion.text))
        return completion

    def record(self, step: Step) -> None:
        """Close the turn with what happened in it; its usage and time are those since the last step."""
        now = time.monotonic()
        step = step.model_copy(update={"usage": self._usage, "seconds": now - self._turn_began})
        self._usage, self._turn_began = Usage(), now
        self._steps.append(step)
        self.context.emit(
            StepTaken(trajectory_id=self.context.trajectory_id, index=len(self._steps) - 1, step=step)
        )

    async def outcome(self, work: Awaitable[None]) -> Trajectory:
        """The trajectory that doing the work makes. Limits, failures and cancellation are its status."""
        status: Status = "finished"
        reason = ""
        try:
            await work
        except BudgetExceeded as limit:
            status, reason = "limit", str(limit)
        except (ModelError, SandboxError, DataError) as error:
            status, reason = "error", f"{type(error).__name__}: {error}"
        except asyncio.CancelledError:
            status, reason = "cancelled", "it was cancelled"
        return Trajectory(
            id=self.context.trajectory_id,
            task_id=self.task.id,
            agent=self._agent,
            status=status,
            answer=self.answer,
            steps=tuple(self._steps),
            reason=reason,
            usage=self.context.meter.usage,
            seconds=time.monotonic() - self._began,
        )
