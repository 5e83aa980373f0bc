"""Test-time self-distillation (SDPO, arXiv 2601.20802): one hard task is tried again and again, and between
the rounds the policy learns from what a verifier said of its failures."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic import Field, field_validator, model_validator

from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError, NothingToLearn
from palaestra.core.events import RunFinished, Sink, StepSkipped, TrajectoryFinished, UpdateDone
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import family
from palaestra.models.config import ModelConfig
from palaestra.models.device_thread import on_device
from palaestra.models.hf import HFModel
from palaestra.store.run_store import RunStore
from palaestra.training.batches import whole
from palaestra.training.config import trainable
from palaestra.training.earlier import Earlier
from palaestra.training.evaluation import RIGHT
from palaestra.training.feedback import Feedback
from palaestra.training.objectives.sdpo import SDPO, Divergence, SDPOConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.policy import load_policy
from palaestra.training.rollouts import RolloutConfig, Rollouts
from palaestra.training.samples import Sample
from palaestra.training.teacher import OTHERS, Teacher, TeacherConfig
from palaestra.training.updater import Updater


class Verifier(Protocol):
    """A task family is one."""

    def utility(self, task: Task, answer: str) -> float:
        """Above ½ when the answer is right."""
        ...

    def remark(self, task: Task, answer: str) -> str:
        """What is wrong with an answer that is not; empty where there is nothing to say."""
        ...


class AttemptsConfig(RolloutConfig):
    tasks_per_step: int = Field(default=1, ge=1, le=1)
    """A task is tried by itself."""
    group_size: int = Field(default=16, ge=2)
    """Attempts before each update."""
    temperature: float = Field(default=1.0, gt=0)
    greedy_anchor: bool = False


class DistillationConfig(SDPOConfig):
    divergence: Divergence = "reverse"
    candidates: int = Field(default=20, ge=1)


class SelfTeacherConfig(TeacherConfig):
    rate: float = Field(default=0.01, gt=0, le=1)

    @model_validator(mode="after")
    def _reads_remarks(self) -> SelfTeacherConfig:
        if self.kind in OTHERS:
            raise ValueError(f"teacher.kind={self.kind} is no self-teacher, which alone reads remarks")
        if self.success != RIGHT:
            raise ValueError("the verifier alone decides what is right; leave teacher.success out")
        return self


class DiscoveryConfig(VerbConfig):
    """The defaults are the paper's."""

    policy: ModelConfig
    """hf/<folder or hub id>; every task begins with it anew."""
    family: str
    """Task family, whose verifier decides and remarks."""
    tasks: int = Field(default=20, ge=1)
    """Held-out tasks; `limit` caps them."""
    rounds: int = Field(default=32, ge=1)
    """Of `rollout.group_size` attempts each. One round is independent sampling: nothing is learned in it."""
    rollout: AttemptsConfig = AttemptsConfig()
    objective: DistillationConfig = DistillationConfig()
    teacher: SelfTeacherConfig = SelfTeacherConfig()
    optimizer: OptimizerConfig = OptimizerConfig()

    @field_validator("policy")
    @classmethod
    def _can_be_trained(cls, policy: ModelConfig) -> ModelConfig:
        if policy.name.startswith("tiny/"):
            raise ValueError("a policy made from nothing discovers nothing; give hf/<folder or hub id>")
        return trainable(policy)


def check(config: DiscoveryConfig) -> None:
    """
    Raises:
        ConfigError: there is no such family, or its verifier says nothing even of an empty answer.
    """
    says = family(config.family).remark(_tasks(config)[0], "")
    if config.rounds > 1 and not says:
        raise ConfigError(
            f"the verifier of {config.family} makes no remarks, so that attempts teach nothing; take another "
            "family"
        )


class Discovery(NamedTuple):
    attempts: int | None
    """Answers that were drawn up to the first right one, that included; None when none was right."""
    drawn: int
    """All that were drawn."""


async def discover(
    task: Task,
    policy: HFModel,
    verifier: Verifier,
    config: DiscoveryConfig,
    rollouts: Rollouts,
    emit: Sink,
    steps_before: int = 0,
) -> Discovery:
    """Sample, distil from the verifier's remarks, and again, until an answer is right or all rounds are over.

    The policy is changed in place. Events of updates count from `steps_before`.
    """
    teacher = Teacher(config.teacher, policy.module)
    updater = Updater(
        policy.module,
        SDPO(config.objective),
        config.optimizer,
        steps=config.rounds - 1,
        temperature=config.rollout.temperature,
        teacher=teacher,
    )
    shown = config.rollout.show_context
    feedback = Feedback(policy, shown, RIGHT, verifier.remark, config.teacher.prompt_tokens)
    drawn = 0
    for number in range(1, config.rounds + 1):
        group = f"{task.id}/{number}"
        attempts = whole(await rollouts.groups({group: task}))[group]
        right = [verifier.utility(task, attempt.answer) > RIGHT for attempt in attempts]
        if any(right):
            return Discovery(drawn + right.index(True) + 1, drawn + len(attempts))
        drawn += len(attempts)
        if number == config.rounds:
            break
        prompts = feedback.prompts(task, attempts, right)
        samples = [
            Sample(attempt.trace, sampled=place > 0 or not config.rollout.greedy_anchor, told_prompt=prompt)
            for place, (attempt, prompt) in enumerate(zip(attempts, prompts, strict=True))
            if attempt.trace
        ]
        step = steps_before + number
        try:
            metrics = await on_device(policy.module.device, updater.update, samples)
            emit(UpdateDone(step=step, phase="train", metrics=metrics))
        except NothingToLearn as nothing:
            emit(StepSkipped(step=step, reason=str(nothing)))
    return Discovery(None, drawn)


async def discover_all(config: DiscoveryConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Each task of the family by itself, from the same policy.

    Attempts that the store holds from an earlier start of the run are used again.

    Raises:
        PalaestraError: the policy cannot be loaded or updated.
    """
    earlier = Earlier(store)
    emit = earlier.without_repeats(emit)
    verifier, tasks = family(config.family), _tasks(config)
    policy = load_policy(config.policy)
    start = await on_device(policy.module.device, copy.deepcopy, policy.module.state_dict())
    rollouts = Rollouts(
        policy, config.rollout, config.seed, emit, known=earlier.trajectories(), announced=earlier.tasks()
    )
    try:
        for index, task in enumerate(tasks):
            await on_device(policy.module.device, policy.module.load_state_dict, start)
            await discover(task, policy, verifier, config, rollouts, emit, steps_before=index * config.rounds)
    finally:
        await policy.close()
    return RunFinished(status="done")


def discoveries(config: DiscoveryConfig, store: RunStore) -> dict[str, Discovery]:
    """What came of each task, by its id."""
    attempts: dict[str, list[Trajectory]] = defaultdict(list)
    for event in store.events(TrajectoryFinished):
        attempts[event.trajectory.task_id].append(event.trajectory)
    return {task.id: _found(task, attempts[task.id]) for task in _tasks(config)}


def _tasks(config: DiscoveryConfig) -> list[Task]:
    count = config.tasks if config.limit is None else min(config.limit, config.tasks)
    return family(config.family).tasks(count, "held-out", config.seed)


def _found(task: Task, attempts: Sequence[Trajectory]) -> Discovery:
    ordered = sorted(attempts, key=lambda attempt: [int(part) for part in attempt.id.split("/")[-2:]])
    right = (family(task.family).utility(task, attempt.answer) > RIGHT for attempt in ordered)
    first = next((place for place, is_right in enumerate(right, start=1) if is_right), None)
    return Discovery(first, len(attempts))


def discovery_at(k: int, found: Sequence[Discovery]) -> float:
    """discovery@k: the share of tasks that were solved within k attempts.

    >>> discovery_at(16, [Discovery(3, 16), Discovery(17, 32), Discovery(None, 512)])
    0.3333333333333333
    """
    return sum(each.attempts is not None and each.attempts <= k for each in found) / len(found)
