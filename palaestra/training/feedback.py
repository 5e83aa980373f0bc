"""What a self-teacher is shown: the task with the answer of a sibling that succeeded (SDPO, 2601.20802)."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.hf import HFModel
from palaestra.training.objectives.self_teacher import demonstration, reprompt
from palaestra.training.rollouts import conversation


class Feedback:
    """The teacher's prompts for the members of a group."""

    def __init__(self, policy: HFModel, show_context: bool, threshold: float) -> None:
        self._policy = policy
        self._show_context = show_context
        self._threshold = threshold

    def prompts(
        self, task: Task, group: Sequence[Trajectory], rewards: Sequence[float]
    ) -> list[tuple[int, ...] | None]:
        """As token ids, one for each member; None where no sibling succeeded, so that there is nothing to
        tell."""
        siblings = [demonstration(rewards, member, self._threshold) for member in range(len(group))]
        return [None if place is None else self._prompt(task, group[place].answer) for place in siblings]

    def _prompt(self, task: Task, solution: str) -> tuple[int, ...]:
        told = task.model_copy(
            update={"prompt": reprompt(task.request, solution=solution), "answer_format": ""}
        )
        return tuple(self._policy.encode(conversation(told, self._show_context)))
