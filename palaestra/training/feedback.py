"""What a self-teacher is shown: the task with the answer of a sibling that succeeded, or with what a verifier
says of the answer at hand (SDPO, arXiv 2601.20802)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import family
from palaestra.models.hf import HFModel
from palaestra.training.objectives.self_teacher import demonstration, reprompt
from palaestra.training.rollouts import conversation

TokenIds = tuple[int, ...]
Remark = Callable[[Task, str], str]
"""What a verifier says of an answer; empty where it has nothing to say."""


class Prompts(Protocol):
    """What the members of a group are told in the place of their prompt."""

    def prompts(
        self, task: Task, group: Sequence[Trajectory], rewards: Sequence[float]
    ) -> list[TokenIds | None]:
        """As token ids, one for each member; None where there is nothing to tell."""
        ...


class Feedback:
    """The teacher's prompts: a solution by a sibling, or else the verifier's remark on the failed attempt."""

    def __init__(
        self, policy: HFModel, show_context: bool, threshold: float, remark: Remark, most_tokens: int
    ) -> None:
        """`threshold` is the reward from which on an answer is a solution. A prompt of more than
        `most_tokens` is not shown: cut off, it would lose the question or what asks for the answer."""
        self._policy = policy
        self._show_context = show_context
        self._threshold = threshold
        self._remark = remark
        self._most_tokens = most_tokens

    def prompts(
        self, task: Task, group: Sequence[Trajectory], rewards: Sequence[float]
    ) -> list[TokenIds | None]:
        return [self._prompt(task, group, rewards, member) for member in range(len(group))]

    def _prompt(
        self, task: Task, group: Sequence[Trajectory], rewards: Sequence[float], member: int
    ) -> TokenIds | None:
        place = demonstration(rewards, member, self._threshold)
        solution = None if place is None else group[place].answer
        failed = rewards[member] < self._threshold
        question = reprompt(
            task.request, solution, self._remark(task, group[member].answer) if failed else None
        )
        if question is None:
            return None
        told = task.model_copy(update={"prompt": question, "answer_format": ""})
        prompt = tuple(self._policy.encode(conversation(told, self._show_context)))
        return prompt if len(prompt) <= self._most_tokens else None


def by_family(task: Task, answer: str) -> str:
    """The remark of the task's own family."""
    return family(task.family).remark(task, answer)
