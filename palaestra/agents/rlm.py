"""A recursive language model: the context is a variable, read with code and with sub-models.

Zhang, Kraska and Khattab, "Recursive Language Models" (arXiv 2512.24601), at depth 1: the root writes code,
and `llm_query` in that code asks a plain sub-model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from palaestra.agents.base import AgentContext
from palaestra.agents.episode import Episode
from palaestra.agents.loop import play
from palaestra.agents.notebook import CONTEXT, Notebook, describe, read_context
from palaestra.agents.reply import Reply, read_reply
from palaestra.agents.templates import fill
from palaestra.core.chat import Message
from palaestra.core.errors import BudgetExceeded, ModelError
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.sandbox.base import CellResult
from palaestra.sandbox.worker.excerpt import shorten

SUB_CALLS = ("llm_query", "llm_query_batched")
RESERVED = (CONTEXT, *SUB_CALLS)
UNTOLD = (CONTEXT, "answer", "SHOW_VARS", "FINAL", "FINAL_VAR")
"""Variables that the model need not be reminded of."""
NAMES = Path(__file__).with_name("rlm_names.py")
DRAWS = 10_000
"""Added to `sample_index` each time that a prompt is asked again; above any number of repeats of a task."""


class RLMConfig(Record):
    name: Literal["rlm"] = "rlm"
    observation_chars: int = Field(default=20_000, ge=100)
    """Characters of a turn's results that the model sees; head and tail are kept."""
    sub_call_chars: int = Field(default=400_000, ge=1)
    """Characters that the model is told to give a sub-model at once."""
    parallel: int = Field(default=16, ge=1)
    """Sub-calls of a trajectory that are under way at once; no others can pass a limit on cost."""
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; null: none."""


class RLMAgent:
    """Answers questions about a context of any length.

    The context is `context` in a Python session and never in the window. In each turn the model writes cells,
    which run in order, and sees an excerpt of their results. It ends by setting `answer["ready"]`, or with
    FINAL(text) or FINAL_VAR(name). When the turns are used up it is asked once more for what it knows.
    """

    name = "rlm"

    def __init__(self, config: RLMConfig) -> None:
        self._config = config

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode))

    async def _play(self, episode: Episode) -> None:
        text = read_context(episode.task)
        functions = dict.fromkeys(SUB_CALLS, SubModel(episode.context, self._config.parallel).ask)
        notebook = Notebook(episode.context.sandbox(functions), text, _setup())
        try:
            await play(_Root(self._config, episode, notebook, len(text)))
        finally:
            await notebook.close()


def _setup() -> str:
    """The cell that puts the reserved names into a session; their code keeps out of the model's namespace."""
    source = NAMES.read_text(encoding="utf-8")
    return f"__rlm__ = {{}}\nexec({source!r}, __rlm__)\n__rlm__ = __rlm__['Names'](globals(), {RESERVED!r})"


class SubModel:
    """What `llm_query` and `llm_query_batched` ask."""

    def __init__(self, context: AgentContext, parallel: int) -> None:
        self._context = context
        self._slots = asyncio.Semaphore(parallel)
        self._asked: Counter[int] = Counter()

    async def ask(self, prompts: Sequence[str]) -> Sequence[str]:
        """The answers in the order of the prompts; for one that failed, a text that says why."""
        return await asyncio.gather(*map(self._ask, prompts))

    async def _ask(self, prompt: str) -> str:
        sampling, times = self._context.sampling, self._asked[hash(prompt)]
        self._asked[hash(prompt)] += 1
        if times:
            index = sampling.sample_index + times * DRAWS
            sampling = sampling.model_copy(update={"sample_index": index})
        try:
            question = Message(role="user", content=prompt)
            async with self._slots:
                return (await self._context.generate("sub", [question], sampling)).text
        except (ModelError, BudgetExceeded) as error:
            return f"[sub-call failed] {type(error).__name__}: {error}"


class _Root:
    """The root model at work on one task."""

    def __init__(self, config: RLMConfig, episode: Episode, notebook: Notebook, characters: int) -> None:
        self.turns = episode.context.meter.budget.turns
        self._config = config
        self._episode = episode
        self._notebook = notebook
        self._reply = Reply("", ())
        self._cut_off = False
        limits = {"observation_chars": config.observation_chars, "sub_call_chars": config.sub_call_chars}
        episode.messages.append(Message(role="system", content=self._fill("rlm-system", **limits)))
        self._news = self._fill("rlm-task", question=episode.task.prompt, characters=characters)
        """What the model has not been told yet."""

    async def think(self, turn: int) -> None:
        await self._ask("rlm-turn", turn=turn, turns=self.turns)

    async def act(self, turn: int) -> bool:
        """Run the reply's cells; True when one of them answered."""
        results, reading = await self._run_cells()
        self._news = self._fill(
            "rlm-results",
            results=shorten("\n\n".join(results), self._config.observation_chars),
            not_run=self._reply.not_run,
            unclosed=self._reply.unclosed,
            cut_off=self._cut_off,
            nothing=not self._reply.cells and not self._reply.blocks,
            reading=reading,
        )
        actions = tuple(Action(kind="code", content=cell) for cell in self._reply.cells[: len(results)])
        self._episode.record(Step(thought=self._reply.thought, actions=actions, observation=self._news))
        return reading == "ready"

    async def conclude(self) -> None:
        """Ask once more, for the answer itself: as text, or in code as before. Else the draft stands."""
        draft = self._episode.answer
        text = await self._ask("rlm-last", question=self._episode.task.prompt, draft=draft)
        _, reading = await self._run_cells()
        if reading != "ready":
            self._episode.answer = (self._reply.thought if self._reply.cells else text.strip()) or draft
        answer = Action(kind="answer", content=self._episode.answer)
        self._episode.record(Step(thought="", actions=(answer,)))

    async def _ask(self, template: str, **values: Any) -> str:
        self._episode.tell(self._fill(template, before=self._news, **values))
        completion = await self._episode.ask()
        self._reply = read_reply(completion.text)
        self._cut_off = completion.finish_reason == "length"
        return completion.text

    async def _run_cells(self) -> tuple[list[str], str]:
        """Results of the cells, in order up to one that answers or ends the session, and the last reading."""
        results = []
        reading = "none"
        for cell in self._reply.cells:
            result = await self._notebook.run(cell)
            results.append(describe(result, UNTOLD))
            reading = await self._settle(result)
            if reading in ("ready", "lost", "destroyed"):
                break
        return results, reading

    async def _settle(self, result: CellResult) -> str:
        """Put the reserved names back after a cell, and take over what it says in `answer`."""
        if result.status in ("timeout", "died"):
            return "lost"
        settled = await self._notebook.run("__rlm__.settle()")
        if settled.status != "ok":
            await self._notebook.close()
            return "destroyed"
        reading = settled.value.strip("'")
        if reading not in ("none", "long"):
            self._episode.answer = await self._notebook.get("__answer__") or ""
        return reading

    def _fill(self, name: str, **values: Any) -> str:
        return fill(name, self._config.prompts, **values)
