"""`train`: the parts of a training run, built from its configuration and from what its store holds."""

from __future__ import annotations

import copy

from palaestra.arena.judges.registry import open_judge
from palaestra.arena.tournament import Tournament
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import BudgetExceeded
from palaestra.core.events import JudgementGiven, RankingMade, RunFinished, Sink, TrajectoryFinished
from palaestra.datasets.families import family
from palaestra.store.run_store import RunStore
from palaestra.store.runs import spent
from palaestra.training.checkpoint import Checkpoints
from palaestra.training.config import TrainConfig
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
    policy = await starting_policy(config, tasks, store.folder / START, emit)
    objective = ArenaRL(config.objective)
    meter = Meter(Budget(turns=None, cost=config.max_cost))
    for role, usage in spent(store).items():
        meter.charge(role, usage)
    known = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    rollouts = Rollouts(policy, config.rollout, config.seed, emit, known)
    async with open_judge(config.judge, config.seed, store.cache) as judge:
        arena = Tournament(
            judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=meter,
            emit=emit,
            known=[*store.events(JudgementGiven), *store.events(RankingMade)],
        )
        loop = Loop(
            config=config,
            family=tasks,
            policy=policy,
            sampler=TaskSampler(
                tasks.tasks(config.limit or config.tasks, "train", config.seed),
                config.rollout.tasks_per_step,
                config.seed,
            ),
            rollouts=rollouts,
            arena=arena,
            updater=Updater(
                policy.module,
                objective,
                config.optimizer,
                steps=config.steps * config.minibatches,
                temperature=config.rollout.temperature,
                reference=copy.deepcopy(policy.module) if "reference" in objective.needs else None,
            ),
            evaluation=Evaluation(config.evaluation, tasks, config.seed, rollouts, arena, emit),
            checkpoints=Checkpoints(store, config.keep_checkpoints, emit),
            emit=emit,
        )
        try:
            await loop.run()
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=f"max_cost: {limit}")
        finally:
            await policy.close()
    return RunFinished(status="done")
