"""Task families: where tasks come from without a file, and what is known about their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from palaestra.core.errors import ConfigError
from palaestra.core.places import load
from palaestra.core.task import Task

Split = Literal["train", "held-out"]


class Example(NamedTuple):
    """A task with an answer to imitate."""

    task: Task
    answer: str


class TaskFamily(Protocol):
    name: str

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        """Distinct tasks; no task of one split is ever in the other, whatever the seeds.

        Raises:
            ConfigError: there are not so many.
        """
        ...

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        """Imperfect answers to training tasks, for a supervised warm start."""
        ...

    def utility(self, task: Task, answer: str) -> float:
        """The hidden worth of an answer, in [0, 1]: what a programmatic judge goes by."""
        ...


_FAMILIES: Mapping[str, str] = {"trip": "palaestra.datasets.trip.family:TRIP"}


def family(name: str) -> TaskFamily:
    """
    Raises:
        ConfigError: there is no such family.
    """
    if name not in _FAMILIES:
        raise ConfigError(f"unknown task family {name!r}; there are: {', '.join(sorted(_FAMILIES))}")
    found: TaskFamily = load(_FAMILIES[name], f"the task family {name}")
    return found
