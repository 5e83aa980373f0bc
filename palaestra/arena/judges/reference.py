"""A language model that judges a pair with the reference answer before it."""

from __future__ import annotations

from typing import Literal

from palaestra.arena.judges.evidence import Exhibit, clip, show_task
from palaestra.arena.judges.llm import LLMJudge
from palaestra.arena.judges.scorer import ScorerConfig
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.base import Model


class ReferenceJudgeConfig(ScorerConfig):
    kind: Literal["reference"] = "reference"


class ReferenceJudge:
    """The pairwise judge, shown the task's reference answer beside the request (Zheng et al., 2306.05685).

    It saves the model from being talked into a wrong result on tasks that it could not solve by itself.
    """

    def __init__(self, model: Model, config: ReferenceJudgeConfig, seed: int = 0) -> None:
        self.name = f"reference/{model.name}"
        self._judge = LLMJudge(model, config, seed, show_with_reference)

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        if task.reference is None:
            return NoVerdict(reason=f"the task {task.id} has no reference answer; use a judge without one")
        return await self._judge.compare(task, first, second, attempt)


def show_with_reference(task: Task, characters: int) -> list[Exhibit]:
    """The task, and the reference answer within the same number of characters as the context."""
    reference = clip(task.reference or "", max(characters, 1000))
    return [*show_task(task, characters), Exhibit("reference answer, known to be good", reference)]
