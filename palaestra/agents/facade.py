"""An agent in the place of a language model: a conversation in, the agent's answer out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

from palaestra.agents.base import Agent, AgentContext
from palaestra.agents.material import request_task
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ModelError
from palaestra.core.events import ChildFinished, Event, StepTaken
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import total
from palaestra.models.base import Model
from palaestra.models.tokens import cut_by_characters
from palaestra.sandbox.base import SandboxFactory


class AgentModel:
    """Runs the agent once for each conversation. A prompt may be of any length: the agent has no window.

    The usage of a completion is that of the agent's whole call tree. An answer that a limit cut short has
    the finish reason `length`.
    """

    context_window: int | None = None

    def __init__(
        self, name: str, agent: Agent, models: Sequence[Model], sandbox: SandboxFactory, budget: Budget
    ) -> None:
        self.name = name
        self._agent = agent
        self._models = models
        self._sandbox = sandbox
        self._budget = budget

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await self._run(messages, sampling, asyncio.Queue())

    async def stream(
        self, messages: Sequence[Message], sampling: Sampling
    ) -> AsyncIterator[str | Completion]:
        """A text for every turn as it happens, then the completion. Closing the iterator ends the agent."""
        news: asyncio.Queue[Event | None] = asyncio.Queue()
        work = asyncio.create_task(self._run(messages, sampling, news))
        work.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while event := await news.get():
                if text := _told(event):
                    yield text
            yield await work
        finally:
            work.cancel()
            await asyncio.wait([work])

    async def close(self) -> None:
        for model in self._models:
            await model.close()

    async def _run(
        self, messages: Sequence[Message], sampling: Sampling, news: asyncio.Queue[Event | None]
    ) -> Completion:
        context = AgentContext(
            trajectory_id=uuid4().hex,
            models=self._models,
            sandbox=self._sandbox,
            meter=Meter(self._budget),
            sampling=sampling.model_copy(update={"stop": (), "max_tokens": None}),
            emit=news.put_nowait,
        )
        trajectory = await self._agent.run(task_of(messages), context)
        if trajectory.status == "cancelled":
            raise asyncio.CancelledError
        if trajectory.status == "error":
            raise ModelError(trajectory.reason)
        return _completion(trajectory, sampling)


def task_of(messages: Sequence[Message]) -> Task:
    """The last message is the request, with the system's instructions; what was said before is context: a
    single message as the text that it is, more of them as a list."""
    instructions = "\n\n".join(message.content for message in messages[:-1] if message.role == "system")
    *earlier, request = [each for each in messages[:-1] if each.role != "system"] + list(messages[-1:])
    said = [f"{message.role}: {message.content}" for message in earlier]
    context = earlier[0].content if len(earlier) == 1 else said or None
    return request_task("request", request.content, context, instructions)


def _completion(trajectory: Trajectory, sampling: Sampling) -> Completion:
    """Stop texts and the limit of tokens are for the answer, and not for what the agent says to itself."""
    text = trajectory.answer
    for stop in sampling.stop:
        text = text.partition(stop)[0]
    end = len(text) if sampling.max_tokens is None else cut_by_characters(text, sampling.max_tokens)
    whole = trajectory.status == "finished" and end == len(text)
    return Completion(
        text=text[:end],
        finish_reason="stop" if whole else "length",
        usage=total(trajectory.usage.values()),
    )


def _told(event: Event) -> str:
    match event:
        case StepTaken(step=step):
            return "\n".join(
                part for part in (step.thought, *(each.content for each in step.actions)) if part
            )
        case ChildFinished(trajectory=child):
            return f"[child {child.status}] {child.answer}"
        case _:
            return ""
