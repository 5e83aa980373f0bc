"""Reasoning and acting in turn: Thought, Action, Observation.

Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models" (arXiv 2210.03629), in its text form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from palaestra.agents.base import AgentContext
from palaestra.agents.context_tools import ContextTools
from palaestra.agents.episode import Episode
from palaestra.agents.loop import play
from palaestra.agents.notebook import Notebook, describe, read_context
from palaestra.agents.templates import fill
from palaestra.agents.tool import Tool
from palaestra.core.chat import Message
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.sandbox.worker.excerpt import shorten

OBSERVATION = "\nObservation"
"""Where a message ends: the model never writes its own observations."""

_ACTION = re.compile(r"^\s*Action\s*\d*\s*:", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r"^\s*(?:Thought|Action)\s*\d*\s*:", re.MULTILINE | re.IGNORECASE)
_CALL = re.compile(r"\s*(?P<tool>\w+)\s*\[(?P<argument>.*)\]", re.DOTALL)


class ReactConfig(Record):
    name: Literal["react"] = "react"
    observation_chars: int = Field(default=10_000, ge=100)
    """Characters of an observation that the model sees; head and tail are kept."""
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; null: none."""


class Move(NamedTuple):
    thought: str
    tool: str
    """In lower case; empty when the message has no action."""
    argument: str


def read_move(text: str) -> Move:
    """The thought, and the first action after it: `Action: tool[argument]`, of any number of lines."""
    head, *rest = _ACTION.split(text, maxsplit=1)
    thought = _LABEL.sub("", head, count=1).strip()
    call = _CALL.match(_LABEL.split(rest[0], maxsplit=1)[0]) if rest else None
    return Move(thought, call["tool"].lower(), call["argument"]) if call else Move(thought, "", "")


class ReactAgent:
    """Works in turns of one thought and one action, until the action is `finish[answer]`.

    Its tools are typed Python functions by name. Every task brings three of its own: `search` and `read`
    over its context, and `python`, a session that holds the context as a variable. As in the paper, a message
    without a readable action is followed by a second call for the action alone, what then fails is an
    observation that costs a turn, and when the turns are used up the answer is empty.
    """

    name = "react"

    def __init__(self, config: ReactConfig, tools: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._config = config
        self._tools = dict(tools or {})

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode))

    async def _play(self, episode: Episode) -> None:
        text = read_context(episode.task)
        notebook = Notebook(episode.context.sandbox({}), text)

        async def python(code: str) -> str:
            """Run Python in a session that lasts and show its output; `context` is the context, a string."""
            return describe(await notebook.run(code))

        lookup = ContextTools(text)
        functions: dict[str, Callable[..., Any]] = {}
        if text:
            functions |= {"search": lookup.search, "read": lookup.read}
        functions |= {"python": python, **self._tools}
        try:
            offered = {name: Tool(name, function) for name, function in functions.items()}
            await play(_ReactPlayer(self._config, episode, offered, len(text)))
        finally:
            await notebook.close()


class _ReactPlayer:
    """One task's turns."""

    def __init__(
        self, config: ReactConfig, episode: Episode, tools: Mapping[str, Tool], characters: int
    ) -> None:
        self.turns = episode.context.meter.budget.turns
        self._config = config
        self._episode = episode
        self._tools = tools
        self._move = Move("", "", "")
        sampling = episode.context.sampling
        self._sampling = sampling.model_copy(update={"stop": (*sampling.stop, OBSERVATION)})
        system = self._fill("react-system", tools=list(tools.values()))
        episode.messages.append(Message(role="system", content=system))
        self._news = self._fill("react-task", question=episode.task.prompt, characters=characters)
        """What the model has not been told yet."""

    async def think(self, turn: int) -> None:
        self._move = await self._ask(self._news)
        if not self._move.tool:
            thought = self._move.thought.partition("\n")[0]
            self._move = (await self._ask(self._fill("react-action")))._replace(thought=thought)

    async def act(self, turn: int) -> bool:
        move = self._move
        if move.tool == "finish":
            self._episode.answer = move.argument.strip()
            self._episode.record(
                Step(thought=move.thought, actions=(Action(kind="answer", content=self._episode.answer),))
            )
            return True
        observation = shorten(await self._observe(move), self._config.observation_chars)
        actions = (Action(kind="tool", name=move.tool, content=move.argument),) if move.tool else ()
        self._episode.record(Step(thought=move.thought, actions=actions, observation=observation))
        self._news = f"Observation: {observation}"
        return False

    async def conclude(self) -> None:
        """There is no answer."""

    async def _ask(self, text: str) -> Move:
        self._episode.tell(text)
        return read_move((await self._episode.ask(self._sampling)).text)

    async def _observe(self, move: Move) -> str:
        if move.tool in self._tools:
            return await self._tools[move.tool](move.argument)
        return self._fill("react-invalid", tool=move.tool, tools=list(self._tools.values()))

    def _fill(self, name: str, **values: Any) -> str:
        return fill(name, self._config.prompts, **values)
