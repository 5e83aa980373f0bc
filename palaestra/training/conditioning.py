"""Reward conditioning (arXiv 2305.14387): the policy is told how good its answer is to be, and learns what
that means; asked for the best, it answers so."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.hf import HFModel
from palaestra.training.rollouts import conversation
from palaestra.training.samples import Sample


class ConditioningConfig(Record):
    levels: tuple[str, ...] = Field(default=("Quality: low\n", "Quality: high\n"), min_length=2)
    """What stands before a task's request, from the worst to the best equal share of the group's rewards.
    From the second step on, and in evaluations, the policy is asked for the best."""

    @property
    def best(self) -> str:
        return self.levels[-1]


class Conditioning:
    """The prompts under which the members of a group are imitated."""

    def __init__(self, policy: HFModel, show_context: bool, config: ConditioningConfig) -> None:
        self._policy = policy
        self._show_context = show_context
        self._levels = config.levels

    def prompts(
        self, task: Task, group: Sequence[Trajectory], rewards: Sequence[float]
    ) -> list[tuple[int, ...] | None]:
        """As token ids, one for each member; None for all of a group whose rewards agree."""
        if len(set(rewards)) == 1:
            return [None] * len(group)
        told = [conversation(task, self._show_context, level) for level in self._levels]
        encoded = [tuple(self._policy.encode(messages)) for messages in told]
        return [encoded[level] for level in quantiles(rewards, len(self._levels))]


def quantiles(rewards: Sequence[float], count: int) -> list[int]:
    """In which of `count` equal shares each reward lies, 0 for the lowest; equal ones lie in the same.

    >>> quantiles([0.3, 0.9, 0.1, 0.5], count=2)
    [0, 1, 0, 1]
    """
    places = [
        sum(other < own for other in rewards) + sum(other == own for other in rewards) / 2 for own in rewards
    ]
    return [int(count * place / len(rewards)) for place in places]


def conditioned(samples: Sequence[Sample]) -> list[Sample]:
    """Each answer after the prompt that tells its reward; those that nothing is told of are left out."""
    return [
        sample.as_told()._replace(told_prompt=None, sampled=False)
        for sample in samples
        if sample.told_prompt is not None
    ]
