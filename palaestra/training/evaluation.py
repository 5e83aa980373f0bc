"""Does the policy beat the one that training started from, and others? Pairwise, on held-out tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import Field

from palaestra.arena.group import Group
from palaestra.arena.leaderboard import win_rate_interval
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import JudgeError
from palaestra.core.events import Sink, UpdateDone
from palaestra.core.ranking import Ranking
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.training.best_of import best_of_curve
from palaestra.training.pass_at_k import pass_curve
from palaestra.training.rewards import RewardSource, utility
from palaestra.training.rollouts import Rollouts

BASELINE = "baseline"
"""The prefix of the ids of the starting policy's answers."""
RIGHT = 0.5
"""An answer counts as right when its utility is above."""


class EvaluationConfig(Record):
    tasks: int = Field(default=200, ge=1)
    """Held-out tasks."""
    every: int = Field(default=0, ge=0)
    """Training steps between evaluations; 0 evaluates at the end only."""
    baselines: tuple[ModelConfig, ...] = ()
    """Models that the policy is compared with beside the one it started from."""
    samples: int = Field(default=0, ge=0)
    """Answers per task for pass@k, with k from 1 to this number; an answer is right when its utility is above
    ½. 0 leaves pass@k out."""
    best_of: bool = False
    """Let the source of rewards pick the best of these answers, and tell the expected utility of the best of
    k as best_of@k."""
    patience: int = Field(default=0, ge=0)
    """Training ends after so many evaluations in a row without a higher win rate than the best before; 0
    trains to the last step. Needs `every`."""


class Evaluation:
    """One answer of the policy against one of the starting policy, and of each baseline, for each task."""

    def __init__(
        self,
        config: EvaluationConfig,
        tasks: Sequence[Task],
        seed: int,
        rollouts: Rollouts,
        arena: Tournament,
        baselines: Sequence[Model],
        source: RewardSource,
        emit: Sink,
        prefix: str = "",
    ) -> None:
        """`source` picks the best of n; `prefix` stands before what the trained policy is asked."""
        self._config = config
        self._tasks = tasks
        self._seed = seed
        self._rollouts = rollouts
        self._later_rollouts = rollouts.asking(prefix)
        self._arena = arena
        self._source = source
        self._models = baselines
        self._emit = emit
        self._start: list[Trajectory] = []
        self._baselines: dict[str, list[Trajectory]] = {}
        self._start_curves: dict[str, float] = {}

    async def draw_baseline(self) -> None:
        """Answer with the policy as it is now and with the baselines; later answers are compared to that."""
        self._start = await self._rollouts.singles(BASELINE, self._tasks)
        for model in self._models:
            rollouts = self._rollouts.drawing_from(model)
            self._baselines[model.name] = await rollouts.singles(f"{BASELINE}:{model.name}", self._tasks)
        curves = await self._curves(self._rollouts, f"{BASELINE}-samples")
        self._start_curves = {f"start_{name}": value for name, value in curves.items()}

    async def run(self, step: int) -> float:
        """Judge the policy as it is after `step` updates; emit its win rates (a tie is half) with intervals,
        and give that against the starting policy."""
        answers = await self._later_rollouts.singles(f"evaluation-{step}", self._tasks)
        metrics = await self._compare(f"evaluation-{step}", answers, self._start)
        for name, others in self._baselines.items():
            found = await self._compare(f"evaluation-{step}:{name}", answers, others)
            metrics |= {f"{key}/{name}": value for key, value in found.items()}
            metrics[f"utility/{name}"] = self._utility(others)
        metrics |= {"utility": self._utility(answers), "start_utility": self._utility(self._start)}
        curves = await self._curves(self._later_rollouts, f"evaluation-{step}-samples")
        metrics |= curves | self._start_curves
        self._emit(UpdateDone(step=step, phase="evaluation", metrics=metrics))
        return metrics["win_rate"]

    async def _compare(
        self, prefix: str, answers: Sequence[Trajectory], others: Sequence[Trajectory]
    ) -> dict[str, float]:
        groups = [
            Group.of(f"{prefix}/{task.id}", task, [after, before], "round-robin", self._seed)
            for task, after, before in zip(self._tasks, answers, others, strict=True)
        ]
        results = await self._arena.play(groups)
        scores = [
            _score(ranking.ranks, group.contestants[0].id)
            for group in groups
            if isinstance(ranking := results[group.id], Ranking)
        ]
        if not scores:
            raise JudgeError(f"the judge ranked none of {len(groups)} evaluation tasks; check it")
        low, high = win_rate_interval([[score] for score in scores], self._seed)
        return {
            "win_rate": fmean(scores),
            "win_rate_low": low,
            "win_rate_high": high,
            "judged": len(scores),
            "left_out": len(groups) - len(scores),
        }

    async def _curves(self, rollouts: Rollouts, prefix: str) -> dict[str, float]:
        """pass@k and best_of@k of the policy as it is now; empty when they are not asked for."""
        count = self._config.samples
        if not count:
            return {}
        drawn = await rollouts.repeated(prefix, self._tasks, count)
        worths = [
            [utility(task, answer) for answer in answers]
            for task, answers in zip(self._tasks, drawn, strict=True)
        ]
        curve = pass_curve(count, [sum(worth > RIGHT for worth in each) for each in worths])
        found = {f"pass@{k}": value for k, value in enumerate(curve, start=1)}
        if self._config.best_of:
            found |= await self._best_of(prefix, drawn, worths)
        return found

    async def _best_of(
        self, prefix: str, drawn: Sequence[Sequence[Trajectory]], worths: Sequence[Sequence[float]]
    ) -> dict[str, float]:
        """The mean over the tasks whose answers got rewards."""
        names = [f"{prefix}/{task.id}" for task in self._tasks]
        groups, tasks = dict(zip(names, drawn, strict=True)), dict(zip(names, self._tasks, strict=True))
        rewards = await self._source.rewards(groups, tasks)
        curves = [
            best_of_curve(rewards[name], worth)
            for name, worth in zip(names, worths, strict=True)
            if name in rewards
        ]
        means = map(fmean, zip(*curves, strict=True))
        return {f"best_of@{k}": mean for k, mean in enumerate(means, start=1)}

    def _utility(self, answers: Sequence[Trajectory]) -> float:
        return fmean(utility(task, answer) for task, answer in zip(self._tasks, answers, strict=True))


def _score(ranks: Mapping[str, int], contestant: str) -> float:
    own = ranks[contestant]
    others = [rank for name, rank in ranks.items() if name != contestant]
    return fmean(1.0 if own < other else 0.5 if own == other else 0.0 for other in others)
