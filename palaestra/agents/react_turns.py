"""The turns of ReAct, in its two forms: lines of text, and native tool calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from palaestra.agents.episode import Episode
from palaestra.agents.notebook import Notebook
from palaestra.agents.templates import fill
from palaestra.agents.tool import Tool, as_arguments, observe, spec
from palaestra.agents.typed_answer import problem_with
from palaestra.core.chat import Message, ToolCall, ToolSpec
from palaestra.core.events import StepTaken
from palaestra.core.record import Record
from palaestra.core.trajectory import Action, Step
from palaestra.sandbox.base import Snapshot
from palaestra.sandbox.worker.excerpt import shorten

OBSERVATION = "\nObservation"
"""Where a message ends: the model never writes its own observations."""

_ACTION = re.compile(r"^\s*Action\s*\d*\s*:", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r"^\s*(?:Thought|Action)\s*\d*\s*:", re.MULTILINE | re.IGNORECASE)
_CALL = re.compile(r"\s*(?P<tool>[\w.-]+)\s*\[(?P<argument>.*)\]", re.DOTALL)


FINISH = ToolSpec(
    name="finish",
    description="End with this answer. Answer exactly what is asked.",
    parameters={"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]},
)


class Move(NamedTuple):
    thought: str
    tool: str
    """Empty when the message has no action."""
    argument: str


def read_move(text: str) -> Move:
    """The thought, and the first action after it: `Action: tool[argument]`, of any number of lines."""
    head, *rest = _ACTION.split(text, maxsplit=1)
    thought = _LABEL.sub("", head, count=1).strip()
    call = _CALL.match(_LABEL.split(rest[0], maxsplit=1)[0]) if rest else None
    return Move(thought, call["tool"], call["argument"]) if call else Move(thought, "", "")


class Settings(Protocol):
    @property
    def observation_chars(self) -> int: ...
    @property
    def prompts(self) -> str | None: ...


@dataclass(frozen=True)
class Table:
    """What both forms work with."""

    episode: Episode
    notebook: Notebook
    tools: Mapping[str, Tool]
    settings: Settings

    def find(self, name: str) -> Tool | None:
        """The tool of that name, in upper or lower case."""
        by_name = {key.lower(): tool for key, tool in self.tools.items()}
        return self.tools.get(name) or by_name.get(name.lower())

    async def observe(self, name: str, arguments: str) -> str:
        if (tool := self.find(name)) is not None:
            seen = await observe(tool, arguments)
        else:
            seen = self.fill("react-invalid", tool=name, tools=list(self.tools.values()))
        return shorten(seen, self.settings.observation_chars)

    async def variables(self) -> Snapshot | None:
        """For a later process; None when none can come."""
        if self.episode.context.journal is None or not self.notebook.is_running:
            return None
        return await self.notebook.snapshot()

    def recall(self, steps: Sequence[StepTaken]) -> None:
        if session := self.episode.last_session(steps):
            self.notebook.recall(session)

    def finish(self, thought: str, answer: str) -> str:
        """End with this answer; or what is wrong with it."""
        if problem := problem_with(answer, self.episode.task):
            return f"finish failed: {problem}"
        self.episode.answer = answer.strip()
        action = Action(kind="answer", content=self.episode.answer)
        self.episode.record(Step(thought=thought, actions=(action,)), finished=True)
        return ""

    def fill(self, name: str, **values: Any) -> str:
        return fill(name, self.settings.prompts, **values)


class TextPlayer:
    """One thought and one action in each message, and the observation in the next."""

    def __init__(self, table: Table, characters: int) -> None:
        self.turns = table.episode.context.meter.budget.turns
        self._table = table
        self._episode = table.episode
        self._move = Move("", "", "")
        sampling = self._episode.context.sampling
        self._sampling = sampling.model_copy(update={"stop": (*sampling.stop, OBSERVATION)})
        system = table.fill("react-system", tools=list(table.tools.values()))
        self._episode.messages.append(Message(role="system", content=system))
        self._news = table.fill("react-task", question=self._episode.task.request, characters=characters)
        """What the model has not been told yet."""

    def take_over(self, steps: Sequence[StepTaken]) -> None:
        """Have the conversation of earlier processes again, without model or tools."""
        for taken in steps:
            self._episode.tell(self._news)
            for number, reply in enumerate(taken.checkpoint.replies if taken.checkpoint else ()):
                if number:
                    self._episode.tell(self._table.fill("react-action"))
                self._episode.hear(reply)
            self._news = f"Observation: {taken.step.observation}"
        self._table.recall(steps)

    async def think(self, turn: int) -> None:
        self._move = await self._ask(self._news)
        if not self._move.tool:
            thought = self._move.thought.partition("\n")[0]
            self._move = (await self._ask(self._table.fill("react-action")))._replace(thought=thought)

    async def act(self, turn: int) -> bool:
        move = self._move
        if move.tool.lower() == FINISH.name:
            observation = self._table.finish(move.thought, move.argument)
            if not observation:
                return True
        else:
            tool = self._table.find(move.tool)
            arguments = as_arguments(tool, move.argument) if tool else ""
            observation = await self._table.observe(move.tool, arguments)
        actions = (Action(kind="tool", name=move.tool, content=move.argument),) if move.tool else ()
        step = Step(thought=move.thought, actions=actions, observation=observation)
        self._episode.record(step, session=await self._table.variables())
        self._news = f"Observation: {observation}"
        return False

    async def conclude(self) -> None:
        """There is no answer."""

    async def _ask(self, text: str) -> Move:
        self._episode.tell(text)
        return read_move((await self._episode.ask(self._sampling)).text)


class _Finish(Record):
    answer: str


class NativePlayer:
    """Calls as the provider's API has them; those of one message run at the same time.

    A message without calls is the answer.
    """

    def __init__(self, table: Table, characters: int) -> None:
        self.turns = table.episode.context.meter.budget.turns
        self._table = table
        self._episode = table.episode
        self._thought = ""
        self._calls: tuple[ToolCall, ...] = ()
        offered = (*map(spec, table.tools.values()), FINISH)
        self._sampling = self._episode.context.sampling.model_copy(update={"tools": offered})
        question = table.fill("react-task", question=self._episode.task.request, characters=characters)
        system = Message(role="system", content=table.fill("react-native"))
        self._episode.messages += [system, Message(role="user", content=question)]

    def take_over(self, steps: Sequence[StepTaken]) -> None:
        """Have the conversation of earlier processes again, without model or tools."""
        for taken in steps:
            calls = taken.checkpoint.calls if taken.checkpoint else ()
            self._episode.hear(taken.step.thought, calls)
            self._tell(calls, taken.checkpoint.results if taken.checkpoint else ())
        self._table.recall(steps)

    async def think(self, turn: int) -> None:
        completion = await self._episode.ask(self._sampling)
        self._thought, self._calls = completion.text, completion.tool_calls

    async def act(self, turn: int) -> bool:
        """Do what was called; True when the message was the answer, or one of its calls gave it."""
        if self._calls:
            done = await asyncio.gather(*map(self._do, self._calls))
        else:
            done = [self._table.finish("", self._thought) or None]
        results = [result for result in done if result is not None]
        if len(results) < len(done):
            return True
        self._tell(self._calls, results)
        actions = tuple(Action(kind="tool", name=call.name, content=call.arguments) for call in self._calls)
        step = Step(thought=self._thought, actions=actions, observation="\n\n".join(results))
        session = await self._table.variables()
        self._episode.record(step, session=session, calls=self._calls, results=results)
        return False

    async def _do(self, call: ToolCall) -> str | None:
        """What the call gave; None when it was the answer."""
        if call.name != FINISH.name:
            return await self._table.observe(call.name, call.arguments)
        try:
            answer = _Finish.model_validate_json(call.arguments).answer
        except ValidationError as error:
            return f"finish failed: {error.errors()[0]['msg']}"
        return self._table.finish(self._thought, answer) or None

    async def conclude(self) -> None:
        """There is no answer."""

    def _tell(self, calls: Sequence[ToolCall], results: Sequence[str]) -> None:
        if not calls:  # an answer that was not accepted
            self._episode.tell("\n\n".join(results))
            return
        self._episode.messages += [
            Message(role="tool", content=result, answers_call=call.id)
            for call, result in zip(calls, results, strict=True)
        ]
