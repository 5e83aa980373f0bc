"""No agent at all: one message with the whole context and the question, the baseline of every other."""

from __future__ import annotations

from typing import Literal

from palaestra.agents.base import AgentContext
from palaestra.agents.episode import Episode
from palaestra.agents.material import as_text, context_of
from palaestra.agents.templates import fill
from palaestra.core.errors import BudgetExceeded, ContextTooLong
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory


class PlainConfig(Record):
    name: Literal["plain"] = "plain"
    prompts: str | None = None
    """Folder with templates that replace those of the same name in palaestra/agents/prompts; null: none."""


class PlainAgent:
    """Asks the model once. A context that does not fit into its window is a limit, with no answer."""

    name = "plain"
    uses_sandbox = False

    def __init__(self, config: PlainConfig) -> None:
        self._config = config

    async def run(self, task: Task, context: AgentContext) -> Trajectory:
        episode = Episode(self.name, task, context)
        return await episode.outcome(self._play(episode))

    async def _play(self, episode: Episode) -> None:
        task = episode.task
        if episode.restore():
            return
        context = as_text(context_of(task))
        episode.tell(fill("plain", self._config.prompts, context=context, question=task.request))
        try:
            episode.answer = (await episode.ask()).text.strip()
        except ContextTooLong as error:
            raise BudgetExceeded(f"the context does not fit: {error}") from error
        answer = Action(kind="answer", content=episode.answer)
        episode.record(Step(thought="", actions=(answer,)), finished=True)
