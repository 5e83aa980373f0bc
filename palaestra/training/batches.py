"""From a step to its rewarded groups: tasks, rollouts, rewards, and others for what tells nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean

from palaestra.core.errors import TrainingError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.training.curriculum import Curriculum
from palaestra.training.rewards import Rewards, RewardSource, utility
from palaestra.training.rollouts import Rollouts


@dataclass
class RewardedGroups:
    """What a step trains on, and how it came to it."""

    tasks: dict[str, Task] = field(default_factory=dict)
    groups: dict[str, list[Trajectory]] = field(default_factory=dict)
    """Those with rewards, by id."""
    rewards: Rewards = field(default_factory=dict)
    utilities: list[float] = field(default_factory=list)
    """Of every trajectory that was drawn."""
    left_out: int = 0
    """Groups that failed or got no reward."""
    uniform: int = 0
    """Groups that were dropped because their rewards all agree."""
    seconds_rollout: float = 0.0
    seconds_judge: float = 0.0

    @property
    def all_equal(self) -> bool:
        """Whether no group has a reward above another of the same group."""
        return all(len(set(values)) == 1 for values in self.rewards.values())

    @property
    def metrics(self) -> dict[str, float]:
        return {
            "utility": fmean(self.utilities),
            "left_out": self.left_out,
            "uniform_groups": self.uniform,
            "seconds_rollout": self.seconds_rollout,
            "seconds_judge": self.seconds_judge,
        }


class Batches:
    """Gives a step its groups.

    With `refills`, groups whose rewards all agree are dropped and others drawn in their place, in at most so
    many further batches (DAPO's dynamic sampling, arXiv 2503.14476); without, they stay.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        rollouts: Rollouts,
        source: RewardSource,
        refills: int,
        later_prefix: str = "",
    ) -> None:
        """`later_prefix` stands before the requests of all steps but the first."""
        self._curriculum = curriculum
        self._rollouts = rollouts
        self._later_rollouts = rollouts.asking(later_prefix)
        self._source = source
        self._refills = refills

    async def draw(self, step: int) -> RewardedGroups:
        """
        Raises:
            TrainingError: no group of rollouts is whole.
            JudgeError: no group got a reward.
        """
        found = RewardedGroups()
        await self._add(found, step, attempt=0)
        wanted = len(found.tasks)
        for attempt in range(1, self._refills + 1):
            if len(found.groups) >= wanted:
                break
            await self._add(found, step, attempt)
        for group in list(found.groups)[wanted:]:
            del found.groups[group]
        return found

    async def _add(self, found: RewardedGroups, step: int, attempt: int) -> None:
        stage = self._curriculum.stage(step)
        place = len(found.tasks)
        drawn = stage.sampler.batch(step, attempt)
        tasks = {f"step-{step}/{place + index}": task for index, task in enumerate(drawn)}
        started = time.monotonic()
        rollouts = self._rollouts if step == 1 else self._later_rollouts
        groups = whole(await rollouts.groups(tasks, stage.max_tokens))
        rolled_out = time.monotonic()
        rewards = await self._source.rewards(groups, tasks)
        found.seconds_rollout += rolled_out - started
        found.seconds_judge += time.monotonic() - rolled_out
        found.left_out += len(tasks) - len(rewards)
        found.tasks |= tasks
        found.utilities += [
            utility(tasks[group], trajectory) for group, members in groups.items() for trajectory in members
        ]
        for group, values in rewards.items():
            if self._refills and len(set(values)) == 1:
                found.uniform += 1
                continue
            found.rewards[group] = values
            found.groups[group] = groups[group]


def whole(groups: Mapping[str, list[Trajectory]]) -> dict[str, list[Trajectory]]:
    """The groups in which every rollout came to an answer whose tokens are known.

    Raises:
        TrainingError: there is none.
    """
    found = {
        group: members for group, members in groups.items() if all(each.trace is not None for each in members)
    }
    if not found:
        reasons = {each.reason for members in groups.values() for each in members if each.reason}
        raise TrainingError(f"no group of rollouts is whole: {'; '.join(sorted(reasons)[:3])}")
    return found
