"""The training loop: rollouts → tournament → advantages → update → evaluate → checkpoint, again and again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from palaestra.arena.group import Group, Unranked
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import JudgeError
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
        """Train from the last checkpoint, or from the start, to the last step."""
        await self.evaluation.draw_baseline()
        last = self.config.steps
        for step in range(self.checkpoints.restore(self.policy, self.updater) + 1, last + 1):
            self.emit(UpdateDone(step=step, phase="train", metrics=await self._step(step)))
            if self.evaluation.is_due(step) and step < last:
                await self.evaluation.run(step)
            if step % self.config.checkpoint_every == 0 or step == last:
                self.checkpoints.save(step, self.policy, self.updater)
        await self.evaluation.run(last)

    async def _step(self, step: int) -> dict[str, float]:
        """One batch of tasks from rollouts to update; returns what is to be logged."""
        tasks = {f"step-{step}/{task.id}": task for task in self.sampler.batch(step)}
        started = time.monotonic()
        groups = await self.rollouts.groups(tasks)
        drawn = time.monotonic()
        rankings = await self.arena.play(
            Group.of(group, tasks[group], contestants, self.config.topology, self.config.seed)
            for group, contestants in groups.items()
        )
        judged = time.monotonic()
        metrics = self.updater.update(to_samples(groups, rankings), self.config.minibatches)
        updated = time.monotonic()
        return metrics | {
            "utility": fmean(
                self.family.utility(tasks[group], trajectory.answer)
                for group, contestants in groups.items()
                for trajectory in contestants
            ),
            "unranked": sum(isinstance(result, Unranked) for result in rankings.values()),
            "seconds_rollout": drawn - started,
            "seconds_judge": judged - drawn,
            "seconds_update": updated - judged,
        }


def to_samples(
    groups: Mapping[str, Sequence[Trajectory]], rankings: Mapping[str, Ranking | Unranked]
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
        advantages = rank_advantages([result.ranks[trajectory.id] for trajectory in contestants])
        for trajectory, advantage in zip(contestants, advantages.tolist(), strict=True):
            assert trajectory.trace is not None, "a trainable policy always tells its tokens"
            samples.append(Sample(trajectory.trace, advantage))
    if not samples:
        raise JudgeError(
            f"the judge ranked none of {len(groups)} groups ({'; '.join(sorted(failures))}); check it"
        )
    return samples
