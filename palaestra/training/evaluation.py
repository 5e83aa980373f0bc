"""Does the policy beat the one that training started from? Pairwise, on held-out tasks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from pydantic import Field

from palaestra.arena.group import Group
from palaestra.arena.tournament import Tournament
from palaestra.core.events import Sink, UpdateDone
from palaestra.core.ranking import Ranking
from palaestra.core.record import Record
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import TaskFamily
from palaestra.training.rollouts import Rollouts

RESAMPLES = 2000


class EvaluationConfig(Record):
    tasks: int = Field(default=200, ge=1)
    """Held-out tasks."""
    every: int = Field(default=0, ge=0)
    """Training steps between evaluations; 0 evaluates at the end only."""


class WinRate(NamedTuple):
    mean: float
    """Share of tasks won, ties counted half."""
    low: float
    """Bounds of the 95 % interval: percentile bootstrap over tasks."""
    high: float


class Evaluation:
    """One answer of the policy against one of the starting policy for each held-out task."""

    def __init__(
        self,
        config: EvaluationConfig,
        family: TaskFamily,
        seed: int,
        rollouts: Rollouts,
        arena: Tournament,
        emit: Sink,
    ) -> None:
        self._every = config.every
        self._family = family
        self._tasks = family.tasks(config.tasks, "held-out", seed)
        self._seed = seed
        self._rollouts = rollouts
        self._arena = arena
        self._emit = emit
        self._baseline: list[Trajectory] = []

    async def draw_baseline(self) -> None:
        """Answer with the policy as it is now; later answers are compared with these."""
        self._baseline = await self._rollouts.singles("start", self._tasks)

    def is_due(self, step: int) -> bool:
        return self._every > 0 and step % self._every == 0

    async def run(self, step: int) -> WinRate:
        """Judge the policy as it is after `step` updates, and emit its win rate."""
        answers = await self._rollouts.singles(f"evaluation-{step}", self._tasks)
        groups = [
            Group.of(f"evaluation-{step}/{task.id}", task, [after, before], "round-robin", self._seed)
            for task, after, before in zip(self._tasks, answers, self._baseline, strict=True)
        ]
        results = await self._arena.play(groups)
        scores = [
            _score(ranking, group.contestants[0].id)
            for group in groups
            if isinstance(ranking := results[group.id], Ranking)
        ]
        rate = win_rate(scores, self._seed)
        metrics = {
            "win_rate": rate.mean,
            "win_rate_low": rate.low,
            "win_rate_high": rate.high,
            "judged": len(scores),
            "utility": self._utility(answers),
            "start_utility": self._utility(self._baseline),
        }
        self._emit(UpdateDone(step=step, phase="evaluation", metrics=metrics))
        return rate

    def _utility(self, answers: Sequence[Trajectory]) -> float:
        pairs = zip(self._tasks, answers, strict=True)
        return fmean(self._family.utility(task, answer.answer) for task, answer in pairs)


def win_rate(scores: Sequence[float], seed: int = 0) -> WinRate:
    """Mean and interval of scores: 1 is a win, 0.5 a tie, 0 a loss. Of none, nothing is known: (0.5, 0, 1)."""
    if not scores:
        return WinRate(0.5, 0.0, 1.0)
    draw = random.Random(seed)
    means = sorted(fmean(draw.choices(scores, k=len(scores))) for _ in range(RESAMPLES))
    return WinRate(fmean(scores), means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1])


def _score(ranking: Ranking, contestant: str) -> float:
    own = ranking.ranks[contestant]
    others = [rank for name, rank in ranking.ranks.items() if name != contestant]
    return fmean(1.0 if own < other else 0.5 if own == other else 0.0 for other in others)
