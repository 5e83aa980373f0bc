"""`train`: the parts of a training run, built from its configuration and from what its store holds."""

from __future__ import annotations

import copy
import math
from contextlib import AsyncExitStack

from transformers import PreTrainedModel

from palaestra.arena.judges.registry import open_judge
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import BudgetExceeded, ConfigError
from palaestra.core.events import RunFinished, Sink, UpdateDone
from palaestra.core.places import load
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Split, family
from palaestra.models.hf import HFModel
from palaestra.models.registry import load_model
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter
from palaestra.training.adapters import add_adapter
from palaestra.training.batches import Batches
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.config import TrainConfig
from palaestra.training.curriculum import Curriculum
from palaestra.training.earlier import Earlier
from palaestra.training.evaluation import Evaluation
from palaestra.training.feedback import Feedback
from palaestra.training.loop import Loop
from palaestra.training.objectives.base import Objective
from palaestra.training.objectives.off_policy import OffPolicyCorrected
from palaestra.training.objectives.registry import objective
from palaestra.training.policy import START, starting_policy
from palaestra.training.progress import Progress
from palaestra.training.reference_rewards import ReferenceRewards
from palaestra.training.rewards import (
    NoRewards,
    RewardSource,
    TournamentRewards,
    UtilityRewards,
    by_posterior,
    by_rank,
    by_shrunken_scores,
    ranks_by_posterior,
)
from palaestra.training.rollouts import Rollouts, conversation
from palaestra.training.teacher import Teacher
from palaestra.training.update_mask import masks
from palaestra.training.updater import Updater


async def train(config: TrainConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Train a policy on the rewards of its own answers, from the start or from the run's last checkpoint.

    Everything random follows from the seed and the step. Rollouts and verdicts that the store holds from an
    earlier start of the run are used again, so a resumed run repeats what the interrupted one did, bit for
    bit on a CPU, and pays for no verdict twice.

    Raises:
        PalaestraError: the policy cannot be built or updated, or the judge does not answer.
    """
    async with AsyncExitStack() as opened:
        earlier = Earlier(store)
        emit = earlier.without_repeats(emit)
        if config.tensorboard:
            mirrored = load("palaestra.training.tensorboard:mirrored", "tensorboard=true")
            emit = opened.enter_context(mirrored(store.folder, emit))
        policy = await starting_policy(config, store.folder / START, emit)
        opened.push_async_callback(policy.close)
        judge = await opened.enter_async_context(open_judge(config.judge, config.seed, store))
        baselines = [load_model(model, store.cache) for model in config.evaluation.baselines]
        for model in baselines:
            opened.push_async_callback(model.close)
        rollouts = Rollouts(
            policy, config.rollout, config.seed, emit, known=earlier.trajectories(), announced=earlier.tasks()
        )
        arena = Tournament(
            judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=run_meter(store, config.max_cost),
            emit=emit,
            known=earlier.judgements(),
        )
        held_out = _tasks(config, config.evaluation.tasks, "held-out")
        chosen = _objective(config)
        loop = Loop(
            config=config,
            policy=policy,
            batches=Batches(
                _curriculum(config, policy),
                rollouts,
                _reward_source(config, policy, arena),
                config.refills,
            ),
            feedback=_feedback(config, chosen, policy),
            updater=_updater(config, chosen, policy),
            evaluation=Evaluation(config.evaluation, held_out, config.seed, rollouts, arena, baselines, emit),
            progress=Progress(config.evaluation.patience, earlier.win_rates()),
            checkpoints=Checkpoints(store, config.keep_checkpoints, emit),
            emit=emit,
        )
        try:
            await loop.run()
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
    return _finished(store)


def _reward_source(config: TrainConfig, policy: HFModel, arena: Tournament) -> RewardSource:
    match config.reward:
        case "none":
            return NoRewards()
        case "utility":
            return UtilityRewards()
        case "reference":
            return ReferenceRewards(policy, config.reference, config.optimizer, config.rollout.show_context)
        case "tournament":
            rewarded = by_rank
        case "posterior":
            rewarded = by_posterior if ranks_by_posterior(config.topology) else by_shrunken_scores
    return TournamentRewards(arena, config.topology, config.seed, rewarded)


def _objective(config: TrainConfig) -> Objective:
    chosen = objective(config.objective)
    return OffPolicyCorrected(chosen, config.off_policy) if config.off_policy else chosen


def _has_teacher(chosen: Objective) -> bool:
    return bool({"teacher_log_prob_NT", "teacher_candidate_log_prob_NTK"} & set(chosen.needs))


def _updater(config: TrainConfig, chosen: Objective, policy: HFModel) -> Updater:
    """What is made from the start weights is made before an adapter takes a part of them."""
    module = policy.module
    needs_reference = {"reference_log_prob_NT", "reference_kl_NT"} & set(chosen.needs)
    reference = _frozen(module) if needs_reference else None
    start = _teaching_model(config, module) if _has_teacher(chosen) else None
    allowed = masks(module, config.update_mask, config.seed) if config.update_mask else None
    if config.adapter:
        add_adapter(module, config.adapter, derive_seed(config.seed, "adapter"))
    return Updater(
        module,
        chosen,
        config.optimizer,
        steps=config.steps * config.minibatches,
        temperature=config.rollout.temperature,
        reference=reference,
        teacher=Teacher(config.teacher, module, start) if _has_teacher(chosen) else None,
        masks=allowed,
    )


def _teaching_model(config: TrainConfig, module: PreTrainedModel) -> PreTrainedModel | None:
    """What a teacher is made from: the start policy, another model, or nothing but the policy."""
    if config.teacher.model is not None:
        other: PreTrainedModel = HFModel.from_config(config.teacher.model).module.requires_grad_(False)
        if other.config.vocab_size != module.config.vocab_size:
            raise ConfigError(
                f"{config.teacher.model.name} has {other.config.vocab_size} tokens and the policy "
                f"{module.config.vocab_size}; a teacher needs the policy's tokenizer"
            )
        return other
    return _frozen(module) if config.teacher.kind in ("frozen", "trust-region") else None


def _frozen(module: PreTrainedModel) -> PreTrainedModel:
    return copy.deepcopy(module).requires_grad_(False)


def _feedback(config: TrainConfig, chosen: Objective, policy: HFModel) -> Feedback | None:
    if not _has_teacher(chosen) or config.teacher.model is not None:
        return None
    return Feedback(policy, config.rollout.show_context, config.teacher.success)


def _curriculum(config: TrainConfig, policy: HFModel) -> Curriculum:
    def length(task: Task) -> int:
        return len(policy.encode(conversation(task, config.rollout.show_context)))

    tasks = _tasks(config, config.tasks, "train")
    return Curriculum(config.stages, tasks, length, config.rollout.tasks_per_step, config.seed)


def _tasks(config: TrainConfig, wanted: int, split: Split) -> list[Task]:
    """So many tasks at most, of all families together in equal shares."""
    most = wanted if config.limit is None else min(config.limit, wanted)
    share = math.ceil(most / len(config.families))
    return [task for name in config.families for task in family(name).tasks(share, split, config.seed)][:most]


def _finished(store: RunStore) -> RunFinished:
    """`failures` where a group of rollouts or an evaluation task got no ranking."""
    left_out = sum(update.metrics.get("left_out", 0) for update in store.events(UpdateDone))
    if left_out:
        return RunFinished(
            status="failures", reason=f"{left_out:.0f} groups got no ranking and were left out"
        )
    return RunFinished(status="done")
