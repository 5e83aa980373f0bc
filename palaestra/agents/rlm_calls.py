"""What the code of a recursive language model asks: plain sub-models, children of its own kind, tools."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from palaestra.agents.base import AgentContext
from palaestra.agents.episode import Episode
from palaestra.agents.material import as_text, request_task
from palaestra.agents.rlm_names import CHILDREN, TOOL
from palaestra.agents.tool import Tool
from palaestra.core.chat import Message
from palaestra.core.errors import BudgetExceeded, DataError, ModelError
from palaestra.core.events import ChildFinished
from palaestra.core.record import derive_seed, digest
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.sandbox.base import HostFunction

PlayChild = Callable[[Task, AgentContext], Awaitable[Trajectory]]
_request: TypeAdapter[tuple[str, str | list[str] | dict[str, str] | None]] = TypeAdapter(
    tuple[str, str | list[str] | dict[str, str] | None]
)

_arguments: TypeAdapter[tuple[list[Any], dict[str, Any]]] = TypeAdapter(tuple[list[Any], dict[str, Any]])


class Slots:
    """What all nodes of one tree share: so many model calls, and so many children at each depth, at once.

    Children have slots by depth, because one that waits for its own children keeps its own slot meanwhile.
    """

    def __init__(self, parallel: int) -> None:
        self.calls = asyncio.Semaphore(parallel)
        self.children: defaultdict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(parallel))


class SubCalls:
    """The host functions of one node."""

    def __init__(
        self, episode: Episode, slots: Slots, play_child: PlayChild, tools: Collection[Tool]
    ) -> None:
        self.can_ask = episode.context.depth < episode.context.meter.budget.depth
        self.can_recurse = episode.context.depth + 1 < episode.context.meter.budget.depth
        self._episode = episode
        self._context = episode.context
        self._slots = slots
        self._play_child = play_child
        self._tools = tools
        self._turn = 0
        self._asked: Counter[str] = Counter()

    def begin(self, turn: int) -> None:
        """A prompt that is asked again is drawn anew, and a turn that is played again draws as before."""
        self._turn = turn
        self._asked.clear()

    def functions(self) -> dict[str, HostFunction]:
        functions: dict[str, HostFunction] = {}
        functions |= {TOOL + tool.name: _served(tool) for tool in self._tools}
        if self.can_ask:
            functions |= {"llm_query": self.ask_models, "llm_query_batched": self.ask_models}
            functions[CHILDREN] = self.ask_children if self.can_recurse else self._ask_instead
        return functions

    async def ask_models(self, prompts: Sequence[str]) -> Sequence[str]:
        """The answers in the order of the prompts; for one that failed, a text that says why."""
        return await asyncio.gather(*(self._ask(prompt, self._draw(prompt)) for prompt in prompts))

    async def ask_children(self, requests: Sequence[str]) -> Sequence[str]:
        """The same of children, which are agents with a session of their own."""
        drawn = [(request, self._draw(request)) for request in requests]
        return await asyncio.gather(*(self._recurse(request, times) for request, times in drawn))

    async def _ask_instead(self, requests: Sequence[str]) -> Sequence[str]:
        """Below the last depth for children a plain model answers."""
        asked = list(map(_read, requests))
        return await self.ask_models(
            [prompt if context is None else f"{prompt}\n\n{as_text(context)}" for prompt, context in asked]
        )

    async def _ask(self, prompt: str, times: int) -> str:
        below = self._below(self._context.trajectory_id, times)
        try:
            async with self._slots.calls:
                return (await below.generate([Message(role="user", content=prompt)])).text
        except (ModelError, BudgetExceeded) as error:
            return f"[sub-call failed] {type(error).__name__}: {error}"

    async def _recurse(self, request: str, times: int) -> str:
        name = f"{self._context.trajectory_id}/{self._turn}.{digest(request)[:8]}.{times}"
        child = self._context.journal.child(name) if self._context.journal else None
        if child is None:
            prompt, context = _read(request)
            task = request_task(name, prompt, context)
            below = self._below(name, times, child=True)
            async with self._slots.children[self._context.depth]:
                child = await self._play_child(task, below)
            if child.status == "cancelled":
                raise asyncio.CancelledError
            if child.status != "error" and not below.meter.cut_off:
                self._context.emit(ChildFinished(trajectory=child))
                if self._context.journal is not None:
                    self._context.journal.forget(name)
        else:
            self._context.meter.go_on(child.usage, 0.0)
        self._episode.children.append(child)
        if child.status == "finished":
            return child.answer
        draft = f"; its draft: {child.answer}" if child.answer else ""
        return f"[sub-call failed] {child.status}: {child.reason}{draft}"

    def _draw(self, question: str) -> int:
        """How often this question was asked before in this turn."""
        self._asked[question] += 1
        return self._asked[question] - 1

    def _below(self, name: str, times: int, *, child: bool = False) -> AgentContext:
        sampling = self._context.sampling
        drawn = derive_seed(sampling.sample_index, self._turn, times)
        if child:
            sampling = sampling.model_copy(update={"seed": derive_seed(sampling.seed or 0, name)})
        sampling = sampling.model_copy(update={"sample_index": drawn})
        meter = self._context.meter
        return self._context.below(name, sampling, meter.child() if child else meter)


def _read(request: str) -> tuple[str, str | list[str] | dict[str, str] | None]:
    try:
        return _request.validate_json(request)
    except ValidationError as error:
        raise DataError("a child is asked with a prompt and a context of texts") from error


def _served(tool: Tool) -> HostFunction:
    """A tool as a host function; what it raises is raised in the cell."""

    async def call(requests: Sequence[str]) -> Sequence[str]:
        return await asyncio.gather(*(_call(tool, request) for request in requests))

    return call


async def _call(tool: Tool, request: str) -> str:
    try:
        arguments, named = _arguments.validate_json(request)
    except ValidationError as error:
        raise DataError(f"{tool.name} was called with what are no arguments") from error
    result: Any
    (result,) = await asyncio.gather(tool.call(*arguments, **named), return_exceptions=True)
    if isinstance(result, BaseException):
        return json.dumps({"error": f"{tool.name} failed: {type(result).__name__}: {result}"})
    return json.dumps({"result": result}, default=str)
