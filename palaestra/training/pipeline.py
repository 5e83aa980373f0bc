"""`train`: the parts of a training run, built from its configuration and from what its store holds."""

from __future__ import annotations

import copy

from palaestra.arena.judges.registry import open_judge
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import BudgetExceeded
from palaestra.core.events import RunFinished, Sink, UpdateDone
from palaestra.datasets.families import family
from palaestra.models.hf import HFModel
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.config import TrainConfig
from palaestra.training.earlier import Earlier
from palaestra.training.evaluation import Evaluation
from palaestra.training.loop import Loop
from palaestra.training.objectives.arena_rl import ArenaRL
from palaestra.training.policy import START, starting_policy
from palaestra.training.rollouts import Rollouts
from palaestra.training.sampling import TaskSampler
from palaestra.training.updater import Updater


async def train(config: TrainConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Train a policy with ArenaRL (arXiv 2601.06487), from the start or from the run's last checkpoint.

    Everything random follows from the seed and the step. Rollouts and verdicts that the store holds from an
    earlier start of the run are used again, so a resumed run repeats what the interrupted one did, bit for
    bit on a CPU, and pays for no verdict twice.

    Raises:
        PalaestraError: the policy cannot be built or updated, or the judge does not answer.
    """
    tasks = family(config.family)
    earlier = Earlier(store)
    emit = earlier.without_repeats(emit)
    policy = await starting_policy(config, tasks, store.folder / START, emit)
    rollouts = Rollouts(
        policy, config.rollout, config.seed, emit, known=earlier.trajectories(), announced=earlier.tasks()
    )
    async with open_judge(config.judge, config.seed, store.cache) as judge:
        arena = Tournament(
            judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=run_meter(store, config.max_cost),
            emit=emit,
            known=earlier.judgements(),
        )
        loop = Loop(
            config=config,
            family=tasks,
            policy=policy,
            sampler=TaskSampler(
                tasks.tasks(_at_most(config.limit, config.tasks), "train", config.seed),
                config.rollout.tasks_per_step,
                config.seed,
            ),
            rollouts=rollouts,
            arena=arena,
            updater=_updater(config, policy),
            evaluation=Evaluation(
                tasks,
                tasks.tasks(_at_most(config.limit, config.evaluation.tasks), "held-out", config.seed),
                config.seed,
                rollouts,
                arena,
                emit,
            ),
            checkpoints=Checkpoints(store, config.keep_checkpoints, emit),
            emit=emit,
        )
        try:
            await loop.run()
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
        finally:
            await policy.close()
    return _finished(store)


def _updater(config: TrainConfig, policy: HFModel) -> Updater:
    objective = ArenaRL(config.objective)
    return Updater(
        policy.module,
        objective,
        config.optimizer,
        steps=config.steps * config.minibatches,
        temperature=config.rollout.temperature,
        reference=copy.deepcopy(policy.module) if "reference" in objective.needs else None,
    )


def _finished(store: RunStore) -> RunFinished:
    """`failures` where a group of rollouts or an evaluation task got no ranking."""
    left_out = sum(update.metrics.get("left_out", 0) for update in store.events(UpdateDone))
    if left_out:
        return RunFinished(
            status="failures", reason=f"{left_out:.0f} groups got no ranking and were left out"
        )
    return RunFinished(status="done")


def _at_most(limit: int | None, wanted: int) -> int:
    return wanted if limit is None else min(limit, wanted)
