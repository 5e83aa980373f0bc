"""Does the policy beat the one that training started from? Pairwise, on held-out tasks."""

from __future__ import annotations

from collections.abc import Sequence
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
from palaestra.datasets.families import TaskFamily
from palaestra.training.rollouts import Rollouts

BASELINE = "baseline"
"""The prefix of the ids of the starting policy's answers."""


class EvaluationConfig(Record):
    tasks: int = Field(default=200, ge=1)
    """Held-out tasks."""
    every: int = Field(default=0, ge=0)
    """Training steps between evaluations; 0 evaluates at the end only."""


class Evaluation:
    """One answer of the policy against one of the starting policy for each held-out task."""

    def __init__(
        self,
        family: TaskFamily,
        tasks: Sequence[Task],
        seed: int,
        rollouts: Rollouts,
        arena: Tournament,
        emit: Sink,
    ) -> None:
        self._family = family
        self._tasks = tasks
        self._seed = seed
        self._rollouts = rollouts
        self._arena = arena
        self._emit = emit
        self._baseline: list[Trajectory] = []

    async def draw_baseline(self) -> None:
        """Answer with the policy as it is now; later answers are compared with these."""
        self._baseline = await self._rollouts.singles(BASELINE, self._tasks)

    async def run(self, step: int) -> None:
        """Judge the policy as it is after `step` updates; emit its win rate (a tie is half) and interval."""
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
        if not scores:
            raise JudgeError(f"the judge ranked none of {len(groups)} evaluation tasks; check it")
        low, high = win_rate_interval([[score] for score in scores], self._seed)
        metrics = {
            "win_rate": fmean(scores),
            "win_rate_low": low,
            "win_rate_high": high,
            "judged": len(scores),
            "left_out": len(groups) - len(scores),
            "utility": self._utility(answers),
            "start_utility": self._utility(self._baseline),
        }
        self._emit(UpdateDone(step=step, phase="evaluation", metrics=metrics))

    def _utility(self, answers: Sequence[Trajectory]) -> float:
        pairs = zip(self._tasks, answers, strict=True)
        return fmean(self._family.utility(task, answer.answer) for task, answer in pairs)


def _score(ranking: Ranking, contestant: str) -> float:
    own = ranking.ranks[contestant]
    others = [rank for name, rank in ranking.ranks.items() if name != contestant]
    return fmean(1.0 if own < other else 0.5 if own == other else 0.0 for other in others)
