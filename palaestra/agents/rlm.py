"""A recursive language model: the context is a variable, read with code, sub-models and children.

Zhang, Kraska and Khattab, "Recursive Language Models" (arXiv 2512.24601). At depth 1 the root writes code,
and `llm_query` in that code asks a plain sub-model; from depth 2 on `rlm_query` asks a child, which is an
agent of the same kind with a session of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from palaestra.agents.base import AgentContext
from palaestra.agents.episode import Episode
from palaestra.agents.loop import play
from palaestra.agents.material import ContextShape, context_of
from palaestra.agents.notebook import CONTEXT, Notebook, describe
from palaestra.agents.reply import Reply, read_reply
from palaestra.agents.rlm_calls import Slots, SubCalls
from palaestra.agents.templates import fill
from palaestra.agents.tool import Tool, ToolBox, ToolConfig, as_identifier
from palaestra.agents.typed_answer import problem_with
from palaestra.core.chat import Message
from palaestra.core.errors import BudgetExceeded, ContextTooLong
from palaestra.core.events import StepTaken
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.models.tokens import CHARACTERS_PER_TOKEN
from palaestra.sandbox.base import CellResult, Snapshot
from palaestra.sandbox.worker.excerpt import shorten

NAMES = Path(__file__).with_name("rlm_names.py")
LEAST_NEWS = 1000
"""Characters of the latest results that a summary is made of at least."""
LAST_MESSAGES = 3
"""That are kept where a conversation is too long even for being summed up."""
RESERVED = ("__rlm__", "SHOW_VARS", "FINAL", "FINAL_VAR", "rlm_query", "rlm_query_batched")
"""The session's own names, which are made anew with it."""
UNTOLD = (CONTEXT, "answer", *RESERVED)
"""Variables that the model need not be reminded of."""


class RLMConfig(Record):
    name: Literal["rlm"] = "rlm"
    observation_chars: int = Field(default=20_000, ge=100)
    """Characters of a turn's results that the model sees; head and tail are kept."""
    sub_call_chars: int = Field(default=400_000, ge=1)
    """Characters that the model is told to give a sub-model at once."""
    parallel: int = Field(default=16, ge=1)
    """Sub-calls of a trajectory, and children at each depth, that are under way at once; no others can pass a
    limit on cost."""
    compact_at: float = Field(default=0.85, gt=0, le=1)
    """Share of the model's window beyond which the conversation is replaced by a summary."""
    window: int | None = Field(default=None, ge=1)
    """Tokens of the model's window; null is what the model says, and without either nothing is compacted."""
    tools: ToolConfig = ToolConfig()
    """For the code to call, as functions."""
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; `short`: those
    that are shipped for small models; null: none."""


class RLMAgent:
    """Answers questions about a context of any length.

    The context is `context` in a Python session and never in the window. In each turn the model writes cells,
    which run in order, and sees an excerpt of their results. It ends by setting `answer["ready"]`, or with
    FINAL(text) or FINAL_VAR(name). When the turns are used up it is asked once more for what it knows.
    """

    name = "rlm"
    uses_sandbox = True

    def __init__(self, config: RLMConfig, tools: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._config = config
        self._tools = ToolBox(config.tools, tools)

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        return await self._run(Slots(self._config.parallel), task, context)

    async def _run(self, slots: Slots, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode, slots))

    async def _play(self, episode: Episode, slots: Slots) -> None:
        async with self._tools.opened() as tools:
            named = [as_identifier(tool) for tool in tools.values()]
            calls = SubCalls(episode, slots, functools.partial(self._run, slots), named)
            await self._take_turns(episode, calls, named)

    async def _take_turns(self, episode: Episode, calls: SubCalls, tools: Collection[Tool]) -> None:
        material = context_of(episode.task)
        functions = calls.functions()
        names = (CONTEXT, *(name for name in functions if not name.startswith("_")))
        notebook = Notebook(episode.context.sandbox(functions), material, _setup(names))
        node = _Node(self._config, episode, notebook, calls, tools)
        node.open(ContextShape.of(material))
        taken = episode.restore()
        node.take_over(taken)
        try:
            await play(node, taken)
        finally:
            await notebook.close()


def _setup(names: tuple[str, ...]) -> str:
    """The cell that puts the reserved names into a session; their code keeps out of the model's namespace."""
    source = NAMES.read_text(encoding="utf-8")
    return f"__rlm__ = {{}}\nexec({source!r}, __rlm__)\n__rlm__ = __rlm__['Names'](globals(), {names!r})"


class _Node:
    """The root model, or a child, at work on one task."""

    def __init__(
        self,
        config: RLMConfig,
        episode: Episode,
        notebook: Notebook,
        calls: SubCalls,
        tools: Collection[Tool],
    ) -> None:
        self.turns = episode.context.meter.budget.turns
        self._config = config
        self._episode = episode
        self._notebook = notebook
        self._calls = calls
        self._tools = tools
        self._tool_names = tuple(tool.name for tool in tools)
        self._reply = Reply("", ())
        self._cut_off = False
        self._summary = ""
        """What replaced the conversation before this turn, if something did."""
        self._news = ""
        """What the model has not been told yet."""

    def open(self, context: ContextShape) -> None:
        """Begin the conversation."""
        system = self._fill(
            "rlm-system",
            observation_chars=self._config.observation_chars,
            sub_call_chars=self._config.sub_call_chars,
            calls=self._calls,
            schema=self._episode.task.answer_schema,
            tools=self._tools,
            context=context,
        )
        self._episode.messages.append(Message(role="system", content=system))
        self._news = self._fill("rlm-task", question=self._episode.task.request, context=context)

    def take_over(self, steps: Sequence[StepTaken]) -> None:
        """Have the conversation of earlier processes again, without model or sandbox."""
        for turn, taken in enumerate(steps, start=1):
            if (checkpoint := taken.checkpoint) is None:
                continue
            replies = list(checkpoint.replies)
            if checkpoint.summary:
                self._begin_anew(replies.pop(0))
            self._tell("rlm-turn", turn=turn, turns=self.turns)
            for reply in replies:
                self._episode.hear(reply)
            self._news = taken.step.observation
        if session := self._episode.last_session(steps):
            self._notebook.recall(session)

    async def think(self, turn: int) -> None:
        self._calls.begin(turn)
        if self._is_long():
            await self._compact()
        try:
            await self._ask("rlm-turn", turn=turn, turns=self.turns)
        except ContextTooLong:
            if self._summary:
                raise
            await self._compact()
            await self._ask("rlm-turn", turn=turn, turns=self.turns)

    async def act(self, turn: int) -> bool:
        """Run the reply's cells; True when one of them answered.

        A turn whose calls were refused from outside is not recorded: with more budget it is taken again.
        """
        results, reading, problem = await self._run_cells()
        if refusal := self._episode.context.meter.cut_off:
            raise BudgetExceeded(refusal)
        self._news = self._fill(
            "rlm-results",
            results=shorten("\n\n".join(results), self._config.observation_chars),
            not_run=self._reply.not_run,
            unclosed=self._reply.unclosed,
            cut_off=self._cut_off,
            nothing=not self._reply.cells and not self._reply.blocks,
            reading=reading,
            problem=problem,
        )
        actions = tuple(Action(kind="code", content=cell) for cell in self._reply.cells[: len(results)])
        step = Step(thought=self._reply.thought, actions=actions, observation=self._news)
        session = None if reading == "ready" else await self._variables()
        self._episode.record(step, finished=reading == "ready", summary=self._summary, session=session)
        self._summary = ""
        return reading == "ready"

    async def conclude(self) -> None:
        """Ask once more, for the answer itself: as text, or in code as before. Else the draft stands."""
        draft = self._episode.answer
        schema = self._episode.task.answer_schema
        self._calls.begin((self.turns or 0) + 1)
        text = await self._ask("rlm-last", question=self._episode.task.request, draft=draft, schema=schema)
        _, reading, _ = await self._run_cells()
        if refusal := self._episode.context.meter.cut_off:
            raise BudgetExceeded(refusal)
        if reading != "ready":
            self._episode.answer = (self._reply.thought if self._reply.cells else text.strip()) or draft
        answer = Action(kind="answer", content=self._episode.answer)
        self._episode.record(Step(thought="", actions=(answer,)), finished=True)

    @property
    def _window(self) -> int | None:
        return self._config.window or self._episode.context.model.context_window

    def _is_long(self) -> bool:
        """Whether the conversation, with what is still to be told, comes near the model's window."""
        coming = len(self._news) // CHARACTERS_PER_TOKEN
        return (
            self._window is not None
            and self._episode.tokens + coming > self._config.compact_at * self._window
        )

    async def _compact(self) -> None:
        """Have the model sum up what it knows, and go on from there. The session keeps what was found.

        Of the latest results it sees as much as the window has room for; of a conversation that does not fit
        at all the first and the last messages.
        """
        room = 0 if self._window is None else self._window - self._episode.tokens
        self._news = shorten(self._news, max(LEAST_NEWS, room))  # a token has more than one character
        self._tell("rlm-compact")
        try:
            self._summary = (await self._episode.ask()).text
        except ContextTooLong:
            del self._episode.messages[2:-LAST_MESSAGES]
            self._summary = (await self._episode.ask()).text
        self._begin_anew(self._summary)

    def _begin_anew(self, summary: str) -> None:
        """The conversation: system message, task and summary."""
        del self._episode.messages[1:]
        self._news = self._fill("rlm-summary", question=self._episode.task.request, summary=summary)

    def _tell(self, template: str, **values: Any) -> None:
        self._episode.tell(self._fill(template, before=self._news, **values))

    async def _ask(self, template: str, **values: Any) -> str:
        self._tell(template, **values)
        completion = await self._episode.ask()
        self._reply = read_reply(completion.text)
        self._cut_off = completion.finish_reason == "length"
        return completion.text

    async def _run_cells(self) -> tuple[list[str], str, str]:
        """Results of the cells in order, up to one that answers or ends the session; the last reading; and
        what is to be told of it."""
        results = []
        reading, problem = "none", ""
        for cell in self._reply.cells:
            result = await self._notebook.run(cell)
            results.append(describe(result, (*UNTOLD, *self._tool_names)))
            reading, problem = await self._settle(result)
            if reading in ("ready", "lost", "destroyed"):
                break
        return results, reading, problem

    async def _settle(self, result: CellResult) -> tuple[str, str]:
        """Put the reserved names back after a cell, and take over what it says in `answer`: how it reads, and
        what is wrong with it, or what became of a session without these names."""
        if result.status in ("timeout", "died"):
            return "lost", ""
        settled = await self._notebook.run(f"__rlm__.settle({self._episode.task.answer_schema is not None})")
        if settled.status != "ok":
            return "destroyed", await self._notebook.restart()
        reading = settled.value.strip("'")
        if reading not in ("none", "long", "unreadable"):
            self._episode.answer = await self._notebook.get("__answer__") or ""
        if reading == "ready" and (problem := problem_with(self._episode.answer, self._episode.task)):
            await self._notebook.run("__rlm__.reject()")
            return "rejected", problem
        return reading, ""

    async def _variables(self) -> Snapshot | None:
        """The session's variables without the reserved names, for a later process."""
        if self._episode.context.journal is None or not self._notebook.is_running:
            return None
        return await self._notebook.snapshot(leave_out=(*RESERVED, *self._tool_names))

    def _fill(self, name: str, **values: Any) -> str:
        return fill(name, self._config.prompts, **values)
