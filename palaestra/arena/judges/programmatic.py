"""A computable utility as the judge."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from palaestra.core.errors import JudgeError
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict

OWN_FAMILY = "own"
"""In the place of a family's name: that of each task."""
Utility = Callable[[Task, Trajectory], float]
"""The worth of a trajectory, from 0 to 10."""


class ProgrammaticJudgeConfig(Record):
    kind: Literal["programmatic"] = "programmatic"
    family: str
    """Task family whose hidden utility decides, such as trip; `own` is that of each task."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of an error on each score, in points of the 0 to 10 scale."""
    position_bias: float = 0.0
    """Points that whoever is shown first gets on top."""


class ProgrammaticJudge:
    """Scores by a utility; with noise and position bias it errs as a language model does, but reproducibly.

    The noise of a call follows from seed, task, both contestants in their order, and attempt.
    """

    def __init__(
        self, name: str, utility: Utility, noise: float = 0.0, position_bias: float = 0.0, seed: int = 0
    ) -> None:
        self.name = name
        self._utility = utility
        self._noise = noise
        self._position_bias = position_bias
        self._seed = seed

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        """
        Raises:
            JudgeError: the utility left the scale.
        """
        draw = random.Random(repr((self._seed, task.id, first.id, second.id, attempt)))
        return Verdict.from_scores(
            self._score(task, first, draw.gauss(self._position_bias, self._noise)),
            self._score(task, second, draw.gauss(0, self._noise)),
        )

    def _score(self, task: Task, trajectory: Trajectory, error: float) -> float:
        utility = self._utility(task, trajectory)
        if not 0 <= utility <= 10:
            raise JudgeError(
                f"the utility of {self.name} gives {utility} to {trajectory.id}; scale it to 0 to 10"
            )
        return min(10.0, max(0.0, utility + error))
