"""What is trained on when: stages with lengths of their own, and batches of tasks within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import Field

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.training.sampling import TaskSampler


class StageConfig(Record):
    """A part of the training; the last stage lasts to the end."""

    steps: int = Field(ge=1)
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Tasks with longer prompts are left for other stages; null takes all."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Generated tokens per trajectory; null is `rollout.max_tokens`."""


class Stage(NamedTuple):
    sampler: TaskSampler
    max_tokens: int | None


class Curriculum:
    """The stage of each step, as a pure function of the step."""

    def __init__(
        self,
        stages: Sequence[StageConfig],
        tasks: Sequence[Task],
        length: Callable[[Task], int],
        batch_size: int,
        seed: int,
    ) -> None:
        """`length` counts the tokens of a task's prompt; it is asked only where a stage limits them.

        Raises:
            ConfigError: a stage has no task.
        """
        self._ends: list[int] = []
        self._stages: list[Stage] = []
        end = 0
        for number, stage in enumerate(stages or (StageConfig(steps=1),), start=1):
            end += stage.steps
            fitting = _fitting(tasks, stage.max_prompt_tokens, length)
            if not fitting:
                raise ConfigError(
                    f"no task of stage {number} has at most {stage.max_prompt_tokens} prompt tokens; "
                    "raise its max_prompt_tokens"
                )
            self._ends.append(end)
            self._stages.append(Stage(TaskSampler(fitting, batch_size, seed), stage.max_tokens))

    def stage(self, step: int) -> Stage:
        """Of a step, which count from 1."""
        numbers = (number for number, end in enumerate(self._ends) if step <= end)
        return self._stages[next(numbers, len(self._stages) - 1)]


def _fitting(tasks: Sequence[Task], most: int | None, length: Callable[[Task], int]) -> Sequence[Task]:
    return tasks if most is None else [task for task in tasks if length(task) <= most]
