"""Reasoning and acting in turn: Thought, Action, Observation.

Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models" (arXiv 2210.03629): in its text form,
and with the native tool calls of today's models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from palaestra.agents.base import AgentContext
from palaestra.agents.context_tools import ContextTools
from palaestra.agents.episode import Episode
from palaestra.agents.loop import play
from palaestra.agents.material import as_text, context_of
from palaestra.agents.notebook import Notebook, describe
from palaestra.agents.react_turns import NativePlayer, Table, TextPlayer
from palaestra.agents.tool import FunctionTool, Tool, ToolBox, ToolConfig
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory


class ReactConfig(Record):
    name: Literal["react"] = "react"
    calling: Literal["auto", "text", "native"] = "auto"
    """How the model calls tools: by lines of text, natively, or natively where it is known to be able to."""
    tools: ToolConfig = ToolConfig()
    """Beside `search` and `read` over the context and `python`."""
    observation_chars: int = Field(default=10_000, ge=100)
    """Characters of an observation that the model sees; head and tail are kept."""
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; null: none."""


class ReactAgent:
    """Works in turns of a thought and actions, until the action is `finish` with the answer.

    Its tools are typed Python functions and those of MCP servers. Every task brings three of its own:
    `search` and `read` over its context, and `python`, a session that holds the context as a variable. In the
    text form a turn has one action; as in the paper, a message without a readable one is followed by a second
    call for the action alone. Natively called tools of one turn run at the same time. What fails is an
    observation that costs a turn, and when the turns are used up the answer is empty.
    """

    name = "react"
    uses_sandbox = True

    def __init__(
        self,
        config: ReactConfig,
        tools: Mapping[str, Callable[..., Any]] | None = None,
        *,
        model_calls_tools: bool = False,
    ) -> None:
        self._config = config
        self._native = config.calling == "native" or (config.calling == "auto" and model_calls_tools)
        self._tools = ToolBox(config.tools, tools)

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode))

    async def _play(self, episode: Episode) -> None:
        text = as_text(context_of(episode.task))
        notebook = Notebook(episode.context.sandbox({}), text)
        async with self._tools.opened() as tools:
            table = Table(episode, notebook, {**_own_tools(text, notebook), **tools}, self._config)
            taken = episode.restore()
            player = (NativePlayer if self._native else TextPlayer)(table, len(text))
            player.take_over(taken)
            try:
                await play(player, taken)
            finally:
                await notebook.close()


def _own_tools(context: str, notebook: Notebook) -> dict[str, Tool]:
    async def python(code: str) -> str:
        """Run Python in a session that lasts and show its output; `context` is the context, a string."""
        return describe(await notebook.run(code))

    lookup = ContextTools(context)
    functions = (lookup.search, lookup.read, python) if context else (python,)
    return {function.__name__: FunctionTool(function.__name__, function) for function in functions}
