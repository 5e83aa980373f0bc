"""`train`: the parts of a training run, built from its configuration and from what its store holds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

from transformers import PreTrainedModel

from palaestra.arena.judges.registry import open_judge
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import BudgetExceeded, ConfigError
from palaestra.core.events import RunFinished, Sink, StepSkipped, UpdateDone
from palaestra.core.places import load
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Split, family
from palaestra.models.device_thread import on_device
from palaestra.models.hf import HFModel, read_model
from palaestra.models.registry import load_model
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter
from palaestra.training.adapters import add_adapter, frozen
from palaestra.training.batches import Batches
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.conditioning import Conditioning, conditioned
from palaestra.training.config import TrainConfig
from palaestra.training.critical_steps import CriticalSteps
from palaestra.training.curriculum import Curriculum
from palaestra.training.distributions import ContrastiveLabels
from palaestra.training.earlier import Earlier
from palaestra.training.evaluation import Evaluation
from palaestra.training.feedback import Feedback, Prompts, by_family
from palaestra.training.loop import Loop
from palaestra.training.objectives.base import TAUGHT, Objective
from palaestra.training.objectives.light_reasoner import LightReasonerConfig
from palaestra.training.objectives.off_policy import OffPolicyCorrected
from palaestra.training.objectives.registry import objective
from palaestra.training.policy import START, starting_policy
from palaestra.training.progress import Progress
from palaestra.training.reference_rewards import ReferenceRewards
from palaestra.training.rewards import (
    FinishedRewards,
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
from palaestra.training.sampler import FOLDER, Sampler, open_sampler
from palaestra.training.samples import Sample
from palaestra.training.scoring import Scorer
from palaestra.training.teacher import Teacher
from palaestra.training.update_mask import masks
from palaestra.training.updater import Updater

MIRRORS: Mapping[str, str] = {
    "tensorboard": "palaestra.training.tensorboard:mirrored",
    "wandb": "palaestra.training.weights_and_biases:mirrored",
}
Mirror = Callable[[Path, Sink], AbstractContextManager[Sink]]
"""From a run's folder and a sink to one that writes metrics elsewhere as well."""


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
        for mirror in _mirrors(config):
            emit = opened.enter_context(mirror(store.folder, emit))
        emit = earlier.without_repeats(emit)
        policy = await starting_policy(config, store.folder / START, emit)
        opened.push_async_callback(policy.close)
        judge = await opened.enter_async_context(open_judge(config.judge, config.seed, store))
        baselines = [load_model(model, store.cache) for model in config.evaluation.baselines]
        for model in baselines:
            opened.push_async_callback(model.close)
        sampler = await _sampler(config, policy, store.folder, opened)
        rollouts = Rollouts(
            sampler.model if sampler else policy,
            config.rollout,
            config.seed,
            emit,
            known=earlier.trajectories(),
            announced=earlier.tasks(),
        )
        arena = Tournament(
            judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=run_meter(store, config.max_cost),
            emit=emit,
            known=earlier.judgements(),
        )
        held_out = tasks_of(config, config.evaluation.tasks, "held-out")
        chosen = _objective(config)
        other = _other_teacher(config, policy)
        updater, teacher = await on_device(policy.module.device, _updater, config, chosen, policy, other)
        source = _reward_source(config, policy, arena)
        if config.unfinished is not None:
            source = FinishedRewards(source, config.unfinished)
        prefix = config.conditioning.best if config.conditioning else ""
        loop = Loop(
            config=config,
            policy=policy,
            batches=Batches(_curriculum(config, policy), rollouts, source, config.refills, prefix),
            prompts=_prompts(config, teacher, policy),
            rework=_rework(config, teacher, policy),
            updater=updater,
            sampler=sampler,
            evaluation=Evaluation(
                config.evaluation, held_out, config.seed, rollouts, arena, baselines, source, emit, prefix
            ),
            progress=Progress(config.evaluation.patience, earlier.win_rates()),
            checkpoints=Checkpoints(store, config.keep_checkpoints, emit),
            emit=emit,
        )
        try:
            await loop.run()
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
    return _finished(store)


async def _sampler(
    config: TrainConfig, policy: HFModel, folder: Path, opened: AsyncExitStack
) -> Sampler | None:
    wanted = config.sampler
    return await opened.enter_async_context(open_sampler(wanted, policy, folder / FOLDER)) if wanted else None


def _mirrors(config: TrainConfig) -> list[Mirror]:
    """What metrics go to beside the store; each is imported now, not before."""
    wanted = [name for name in MIRRORS if getattr(config, name)]
    return [load(MIRRORS[name], f"{name}=true") for name in wanted]


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


def _updater(
    config: TrainConfig, chosen: Objective, policy: HFModel, other: PreTrainedModel | None
) -> tuple[Updater, Teacher | None]:
    module = policy.module
    if config.adapter:
        add_adapter(module, config.adapter, derive_seed(config.seed, "adapter"))
    needs_reference = {"reference_log_prob_NT", "reference_kl_NT"} & set(chosen.needs)
    reference = frozen(module) if needs_reference else None
    has_teacher = bool(TAUGHT & set(chosen.needs))
    allowed = masks(module, config.update_mask, config.seed) if config.update_mask else None
    teacher = Teacher(config.teacher, module, other or reference) if has_teacher else None
    updater = Updater(
        module,
        chosen,
        config.optimizer,
        steps=config.steps * config.minibatches,
        temperature=config.rollout.temperature,
        reference=reference,
        teacher=teacher,
        masks=allowed,
    )
    return updater, teacher


def _other_teacher(config: TrainConfig, policy: HFModel) -> PreTrainedModel | None:
    """The model that a teacher is made from; None where that is the policy."""
    if config.teacher.model is None:
        return None
    name, (other, tokenizer) = config.teacher.model.name, read_model(config.teacher.model)
    known, wanted = tokenizer.get_vocab(), policy.tokenizer.get_vocab()
    if known != wanted:
        raise ConfigError(
            f"{name} ({len(known)} tokens) and the policy ({len(wanted)}) have different vocabularies; a "
            "teacher needs the policy's tokenizer"
        )
    if (rows := other.get_output_embeddings().weight.shape[0]) <= max(known.values()):
        raise ConfigError(
            f"{name} has weights for {rows} tokens and a tokenizer of {len(known)}; a "
            "teacher needs all of the policy's tokens"
        )
    teaching: PreTrainedModel = other.eval().requires_grad_(False)
    return teaching


def _prompts(config: TrainConfig, teacher: Teacher | None, policy: HFModel) -> Prompts | None:
    shown = config.rollout.show_context
    if config.conditioning:
        return Conditioning(policy, shown, config.conditioning)
    if teacher and teacher.is_self:
        return Feedback(policy, shown, config.teacher.success, by_family, config.teacher.prompt_tokens)
    return None


def _rework(
    config: TrainConfig, teacher: Teacher | None, policy: HFModel
) -> Callable[[list[Sample]], list[Sample]]:
    if config.conditioning:
        return conditioned
    if isinstance(config.objective, LightReasonerConfig):
        assert teacher is not None
        assert isinstance(teacher.distribution, ContrastiveLabels)
        passes = config.optimizer.tokens_per_pass, config.optimizer.logits_at_once
        scorer = Scorer(policy.module, config.rollout.temperature, *passes)
        return CriticalSteps(teacher.distribution, scorer, config.objective.least_divergence)
    return list


def _curriculum(config: TrainConfig, policy: HFModel) -> Curriculum:
    def length(task: Task) -> int:
        return len(policy.encode(conversation(task, config.rollout.show_context)))

    tasks = tasks_of(config, config.tasks, "train")
    return Curriculum(config.stages, tasks, length, config.rollout.tasks_per_step, config.seed)


def tasks_of(config: TrainConfig, wanted: int, split: Split) -> list[Task]:
    """So many tasks at most, of all families together in equal shares."""
    most = wanted if config.limit is None else min(config.limit, wanted)
    share = math.ceil(most / len(config.families))
    return [task for name in config.families for task in family(name).tasks(share, split, config.seed)][:most]


def _finished(store: RunStore) -> RunFinished:
    """`failures` where a group or an evaluation task got no ranking, or where every step was skipped."""
    told = []
    skipped = Counter(event.reason for event in store.events(StepSkipped))
    trained = sum(update.phase == "train" for update in store.events(UpdateDone))
    for reason, _ in skipped.most_common(1):
        in_vain = "" if trained else "; the policy is what it was"
        told.append(f"{skipped.total()} of {skipped.total() + trained} steps were skipped: {reason}{in_vain}")
    left_out = sum(update.metrics.get("left_out", 0) for update in store.events(UpdateDone))
    if left_out:
        told.append(f"{left_out:.0f} groups got no ranking and were left out")
    failed = left_out or (skipped and not trained)
    return RunFinished(status="failures" if failed else "done", reason="; ".join(told))
