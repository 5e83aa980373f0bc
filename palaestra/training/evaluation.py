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
from palaestra.training.pass_at_k import pass_curve
from palaestra.training.rewards import utility
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
        emit: Sink,
    ) -> None:
        self._config = config
        self._tasks = tasks
        self._seed = seed
        self._rollouts = rollouts
        self._arena = arena
        self._models = baselines
        self._emit = emit
        self._start: list[Trajectory] = []
        self._baselines: dict[str, list[Trajectory]] = {}
        self._start_curve: dict[str, float] = {}

    async def draw_baseline(self) -> None:
        """Answer with the policy as it is now and with the baselines; later answers are compared to that."""
        self._start = await self._rollouts.singles(BASELINE, self._tasks)
        for model in self._models:
            rollouts = self._rollouts.drawing_from(model)
            self._baselines[model.name] = await rollouts.singles(f"{BASELINE}:{model.name}", self._tasks)
        curve = await self._pass_at_k(f"{BASELINE}-samples")
        self._start_curve = {f"start_{name}": value for name, value in curve.items()}

    async def run(self, step: int) -> float:
        """Judge the policy as it is after `step` updates; emit its win rates (a tie is half) with intervals,
        and give that against the starting policy."""
        answers = await self._rollouts.singles(f"evaluation-{step}", self._tasks)
        metrics = await self._compare(f"evaluation-{step}", answers, self._start)
        for name, others in self._baselines.items():
            found = await self._compare(f"evaluation-{step}:{name}", answers, others)
            metrics |= {f"{key}/{name}": value for key, value in found.items()}
            metrics[f"utility/{name}"] = self._utility(others)
        metrics |= {"utility": self._utility(answers), "start_utility": self._utility(self._start)}
        metrics |= await self._pass_at_k(f"evaluation-{step}-samples") | self._start_curve
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

    async def _pass_at_k(self, prefix: str) -> dict[str, float]:
        """pass@k of the policy as it is now, by `pass@k`; empty when it is not asked for."""
        count = self._config.samples
        if not count:
            return {}
        drawn = await self._rollouts.repeated(prefix, self._tasks, count)
        correct = [
            sum(utility(task, answer) > RIGHT for answer in answers)
            for task, answers in zip(self._tasks, drawn, strict=True)
        ]
        return {f"pass@{k}": value for k, value in enumerate(pass_curve(count, correct), start=1)}

    def _utility(self, answers: Sequence[Trajectory]) -> float:
        return fmean(utility(task, answer) for task, answer in zip(self._tasks, answers, strict=True))


def _score(ranks: Mapping[str, int], contestant: str) -> float:
    own = ranks[contestant]
    others = [rank for name, rank in ranks.items() if name != contestant]
    return fmean(1.0 if own < other else 0.5 if own == other else 0.0 for other in others)
