"""The training loop: rollouts → tournament → advantages → update → evaluate → checkpoint, again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from palaestra.arena.group import Group, Unranked
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import BudgetExceeded, JudgeError, TrainingError
from palaestra.core.events import Sink, UpdateDone
from palaestra.core.ranking import Ranking
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import TaskFamily
from palaestra.models.hf import HFModel
from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.config import TrainConfig
from palaestra.training.evaluation import Evaluation
from palaestra.training.rollouts import Rollouts
from palaestra.training.sampling import TaskSampler
from palaestra.training.updater import Sample, Updater


@dataclass(frozen=True)
class Loop:
    """The parts of a training run, put together, and what they do in turn."""

    config: TrainConfig
    family: TaskFamily
    policy: HFModel
    sampler: TaskSampler
    rollouts: Rollouts
    arena: Tournament
    updater: Updater
    evaluation: Evaluation
    checkpoints: Checkpoints
    emit: Sink

    async def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step.

        Raises:
            BudgetExceeded: a limit is used up; the policy as it is by then has its checkpoint.
        """
        await self.evaluation.draw_baseline()
        last = self.config.steps
        for step in range(self.checkpoints.restore(self.policy, self.updater) + 1, last + 1):
            try:
                metrics = await self._step(step)
            except BudgetExceeded:
                self.checkpoints.save(step - 1, self.policy, self.updater)
                raise
            self.emit(UpdateDone(step=step, phase="train", metrics=metrics))
            if self.evaluation_is_due(step):
                await self.evaluation.run(step)
            if step % self.config.checkpoint_every == 0 or step == last:
                self.checkpoints.save(step, self.policy, self.updater)
        await self.evaluation.run(last)

    def evaluation_is_due(self, step: int) -> bool:
        """The last step's is run in any case, after the loop."""
        every = self.config.evaluation.every
        return every > 0 and step % every == 0 and step < self.config.steps

    async def _step(self, step: int) -> dict[str, float]:
        """One batch of tasks from rollouts to update; returns what is to be logged."""
        tasks = {f"step-{step}/{place}": task for place, task in enumerate(self.sampler.batch(step))}
        started = time.monotonic()
        groups = trainable(await self.rollouts.groups(tasks))
        drawn = time.monotonic()
        rankings = await self.arena.play(
            Group.of(group, tasks[group], contestants, self.config.topology, self.config.seed)
            for group, contestants in groups.items()
        )
        judged = time.monotonic()
        samples = to_samples(groups, rankings, self.config.rollout.greedy_anchor)
        metrics = self.updater.update(samples, self.config.minibatches)
        updated = time.monotonic()
        return metrics | {
            "utility": fmean(
                self.family.utility(tasks[group], trajectory.answer)
                for group, contestants in groups.items()
                for trajectory in contestants
            ),
            "left_out": len(tasks) - sum(isinstance(result, Ranking) for result in rankings.values()),
            "seconds_rollout": drawn - started,
            "seconds_judge": judged - drawn,
            "seconds_update": updated - judged,
        }


def trainable(groups: Mapping[str, list[Trajectory]]) -> dict[str, list[Trajectory]]:
    """The groups in which every rollout came to an answer whose tokens are known.

    Raises:
        TrainingError: there is none.
    """
    whole = {
        group: members for group, members in groups.items() if all(each.trace is not None for each in members)
    }
    if not whole:
        reasons = {each.reason for members in groups.values() for each in members if each.reason}
        raise TrainingError(f"no group of rollouts is whole: {'; '.join(sorted(reasons)[:3])}")
    return whole


def to_samples(
    groups: Mapping[str, Sequence[Trajectory]],
    rankings: Mapping[str, Ranking | Unranked],
    greedy_anchor: bool,
) -> list[Sample]:
    """Each trajectory of a ranked group with its rank advantage. Groups without a ranking teach nothing.

    Raises:
        JudgeError: no group has a ranking.
    """
    samples: list[Sample] = []
    failures = set()
    for group, contestants in groups.items():
        result = rankings[group]
        if isinstance(result, Unranked):
            failures.add(result.reason)
            continue
        advantages = rank_advantages([result.ranks[trajectory.id] for trajectory in contestants]).tolist()
        for place, (trajectory, advantage) in enumerate(zip(contestants, advantages, strict=True)):
            assert trajectory.trace is not None
            samples.append(Sample(trajectory.trace, advantage, sampled=place > 0 or not greedy_anchor))
    if not samples:
        raise JudgeError(
            f"the judge ranked none of {len(groups)} groups ({'; '.join(sorted(failures))}); check it"
        )
    return samples
