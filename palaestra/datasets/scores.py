"""What the answers of a run are worth, where a family can tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from palaestra.core.events import TaskLoaded, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import scoring_family
from palaestra.store.run_store import RunStore


class Scored(NamedTuple):
    task: Task
    trajectory: Trajectory
    score: float


def score_of(task: Task, answer: str) -> float | None:
    """In [0, 1]; None when nothing is known of the task's family.

    A task without metadata only bears a family's name: it is not one of its tasks.
    """
    family = scoring_family(task.family)
    return family.utility(task, answer) if family is not None and task.metadata else None


def scored(store: RunStore) -> Iterator[Scored]:
    """The finished trajectories of a run that can be scored, in written order."""
    tasks = {event.task.id: event.task for event in store.events(TaskLoaded)}
    for event in store.events(TrajectoryFinished):
        task = tasks[event.trajectory.task_id]
        score = score_of(task, event.trajectory.answer)
        if score is not None:
            yield Scored(task, event.trajectory, score)
