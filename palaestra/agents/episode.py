"""What one trajectory has come to so far."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence

from palaestra.agents.base import AgentContext
from palaestra.core.chat import Completion, Message, Sampling, ToolCall
from palaestra.core.errors import BudgetExceeded, DataError, ModelError, SandboxError, StoreError
from palaestra.core.events import Checkpoint, StepTaken
from palaestra.core.task import Task
from palaestra.core.trajectory import Status, Step, Trajectory
from palaestra.core.usage import Usage
from palaestra.sandbox.base import Snapshot


class Episode:
    """The conversation, the steps and the answer of one agent at work on one task."""

    def __init__(self, agent: str, task: Task, context: AgentContext) -> None:
        self.task = task
        self.context = context
        self.messages: list[Message] = []
        self.answer = ""
        """The best answer so far: what is left when a limit ends the episode."""
        self.children: list[Trajectory] = []
        self.tokens = 0
        """Of the conversation, as the model counted it last."""
        self._agent = agent
        self._steps: list[Step] = []
        self._replies: list[str] = []
        self._usage = Usage()
        self._began = self._turn_began = time.monotonic()

    def tell(self, text: str) -> None:
        self.messages.append(Message(role="user", content=text))

    async def ask(self, sampling: Sampling | None = None) -> Completion:
        """The model's next message, which joins the conversation.

        It ends before the first stop text, whether or not the model heeds them.
        """
        sampling = sampling or self.context.sampling
        completion = await self.context.generate(self.messages, sampling)
        self._usage += completion.usage
        self.tokens = completion.usage.tokens
        for stop in sampling.stop:
            completion = completion.model_copy(update={"text": completion.text.partition(stop)[0]})
        self._replies.append(completion.text)
        self.hear(completion.text, completion.tool_calls)
        return completion

    def hear(self, reply: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """Add a message of the model's to the conversation."""
        self.messages.append(Message(role="assistant", content=reply, tool_calls=calls))

    def record(
        self,
        step: Step,
        *,
        finished: bool = False,
        summary: str = "",
        session: Snapshot | None = None,
        calls: Sequence[ToolCall] = (),
        results: Sequence[str] = (),
    ) -> None:
        """Close the turn with what happened in it; its usage and time are those since the last step.

        The rest is for a later process: the variables after the step, what replaced the conversation before
        it, and native tool calls with their results.
        """
        now = time.monotonic()
        step = step.model_copy(update={"usage": self._usage, "seconds": now - self._turn_began})
        self._usage, self._turn_began = Usage(), now
        self._steps.append(step)
        self.context.emit(
            StepTaken(
                trajectory_id=self.context.trajectory_id,
                index=len(self._steps) - 1,
                step=step,
                checkpoint=self._checkpoint(finished, summary, session, calls, results),
            )
        )
        self._replies = []

    def restore(self) -> Sequence[StepTaken]:
        """Take over the steps of earlier processes; the agent makes the conversation of them."""
        if self.context.journal is None:
            return ()
        steps = self.context.journal.steps(self.context.trajectory_id)
        if steps and (last := steps[-1].checkpoint):
            self._steps = [each.step for each in steps]
            self._began -= last.seconds
            self.answer = last.answer
            self.tokens = last.tokens
            self.context.meter.go_on(last.usage, last.seconds)
            children = map(self.context.journal.child, last.children)
            self.children = [child for child in children if child is not None]
        return steps

    def last_session(self, steps: Sequence[StepTaken]) -> Snapshot | None:
        """The variables after the last of these steps, if they were kept."""
        last = steps[-1].checkpoint if steps else None
        if last is None or not last.session or self.context.journal is None:
            return None
        return Snapshot(data=self.context.journal.session(last.session), kept=(), lost=dict(last.lost))

    def _checkpoint(
        self,
        finished: bool,
        summary: str,
        session: Snapshot | None,
        calls: Sequence[ToolCall],
        results: Sequence[str],
    ) -> Checkpoint | None:
        journal, name = self.context.journal, ""
        if journal is None:
            return None
        if session is not None:
            name = journal.keep(self.context.trajectory_id, len(self._steps), session.data)
        return Checkpoint(
            replies=tuple(self._replies),
            answer=self.answer,
            finished=finished,
            usage=self.context.meter.usage,
            seconds=time.monotonic() - self._began,
            tokens=self.tokens,
            summary=summary,
            session=name,
            lost=session.lost if session else {},
            children=tuple(child.id for child in self.children),
            calls=tuple(calls),
            results=tuple(results),
        )

    async def outcome(self, work: Awaitable[None]) -> Trajectory:
        """The trajectory that doing the work makes. Limits, failures and cancellation are its status."""
        status: Status = "finished"
        reason = ""
        try:
            await work
        except BudgetExceeded as limit:
            status, reason = "limit", str(limit)
        except (ModelError, SandboxError, DataError, StoreError) as error:
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
            children=tuple(self.children),
        )
