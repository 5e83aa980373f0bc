"""The training loop: rollouts → rewards → update → evaluate → checkpoint, again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from palaestra.core.errors import BudgetExceeded, NothingToLearn
from palaestra.core.events import Sink, StepSkipped, UpdateDone
from palaestra.models.device_thread import on_device
from palaestra.models.hf import HFModel
from palaestra.training.batches import Batches, RewardedGroups
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.config import TrainConfig
from palaestra.training.evaluation import Evaluation
from palaestra.training.feedback import Prompts
from palaestra.training.progress import Progress
from palaestra.training.sampler import Sampler
from palaestra.training.samples import Sample
from palaestra.training.selections import SELECTIONS, Select
from palaestra.training.updater import Updater


@dataclass(frozen=True)
class Loop:
    """The parts of a training run, put together, and what they do in turn."""

    config: TrainConfig
    policy: HFModel
    batches: Batches
    prompts: Prompts | None
    """What samples are told in the place of their prompt; None where nothing is to be told."""
    rework: Callable[[list[Sample]], list[Sample]]
    """What is done to a step's samples before the update."""
    updater: Updater
    sampler: Sampler | None
    """What answers in the policy's place; None where the policy answers itself."""
    evaluation: Evaluation
    progress: Progress
    checkpoints: Checkpoints
    emit: Sink

    async def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the last step or to where it gets no better.

        Raises:
            BudgetExceeded: a limit is used up; the policy as it is by then has its checkpoint.
        """
        await self.evaluation.draw_baseline()
        step = self.checkpoints.restore(self.policy, self.updater)
        if step:
            await self._pass_on()
        if self.progress.best is not None:
            self.checkpoints.mark_best(self.progress.best)
        while step < self.config.steps and not self.progress.is_over:
            step += 1
            try:
                await self._step(step)
            except BudgetExceeded:
                self.checkpoints.save(step - 1, self.policy, self.updater)
                raise
            if self.evaluation_is_due(step):
                await self._evaluate(step)
            if step % self.config.checkpoint_every == 0 or step == self.config.steps or self.progress.is_over:
                self.checkpoints.save(step, self.policy, self.updater)
        if self.progress.last != step:
            await self._evaluate(step)

    def evaluation_is_due(self, step: int) -> bool:
        """The last step's is run in any case, after the loop."""
        every = self.config.evaluation.every
        return every > 0 and step % every == 0 and step < self.config.steps

    async def _step(self, step: int) -> None:
        """One batch of tasks from rollouts to update."""
        found = await self.batches.draw(step)
        started = time.monotonic()
        samples = to_samples(found, SELECTIONS[self.config.selection], self.greedy_anchor, self.prompts)
        try:
            metrics = await on_device(self.policy.module.device, self._learn, samples)
        except NothingToLearn as nothing:
            equal = self.config.reward != "none" and found.all_equal
            why = ": the rewards of every group were equal" if equal else ""
            self.emit(StepSkipped(step=step, reason=f"{nothing}{why}"))
            return
        metrics |= found.metrics | {"seconds_update": time.monotonic() - started}
        await self._pass_on()
        self.emit(UpdateDone(step=step, phase="train", metrics=metrics))

    def _learn(self, samples: list[Sample]) -> dict[str, float]:
        return self.updater.update(self.rework(samples), self.config.minibatches)

    async def _pass_on(self) -> None:
        if self.sampler:
            await self.sampler.follow()

    async def _evaluate(self, step: int) -> None:
        self.progress.add(step, await self.evaluation.run(step))
        if self.progress.best == step:
            self.checkpoints.save(step, self.policy, self.updater)
            self.checkpoints.mark_best(step)

    @property
    def greedy_anchor(self) -> bool:
        return self.config.rollout.greedy_anchor


def to_samples(
    found: RewardedGroups, select: Select, greedy_anchor: bool, told: Prompts | None
) -> list[Sample]:
    """The selected trajectories of every group with their rewards, groups and families."""
    families = sorted({task.family for task in found.tasks.values()})
    samples: list[Sample] = []
    for number, (group, members) in enumerate(found.groups.items()):
        task, rewards = found.tasks[group], found.rewards[group]
        prompts: Sequence[tuple[int, ...] | None] = (
            told.prompts(task, members, rewards) if told else [None] * len(members)
        )
        for place in select([member.answer for member in members], rewards):
            trace = members[place].trace
            assert trace is not None
            samples.append(
                Sample(
                    trace,
                    rewards[place],
                    group=number,
                    family=families.index(task.family),
                    sampled=place > 0 or not greedy_anchor,
                    told_prompt=prompts[place],
                )
            )
    return samples
