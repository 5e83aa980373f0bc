"""Best-of-n (arXiv 2305.14387): of several answers the one of the highest reward; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import comb
from statistics import fmean

from palaestra.core.errors import TrainingError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.training.rewards import RewardSource
from palaestra.training.rollouts import Rollouts
from palaestra.training.selections import best


async def best_of_n(rollouts: Rollouts, source: RewardSource, task: Task, count: int) -> Trajectory:
    """The answer of the highest reward among `count`, the first one among equals.

    Raises:
        PalaestraError: the answers could not be rewarded.
    """
    (answers,) = await rollouts.repeated("best-of-n", [task], count)
    group = f"best-of-n/{task.id}"
    rewards = await source.rewards({group: answers}, {group: task})
    return answers[best(rewards[group])]


def best_of_curve(rewards: Sequence[float], worths: Sequence[float]) -> list[float]:
    """The expected worth of the best of 1, of 2, … of all answers to a task, when `rewards` picks it.

    Unbiased from any N ≥ n answers: the i-th lowest reward is the highest of n in C(i−1, n−1) of the C(N, n)
    choices. Among equal rewards each is picked as often.

    >>> best_of_curve(rewards=[0.1, 0.9, 0.5], worths=[0.0, 1.0, 0.5])
    [0.5, 0.8333333333333334, 1.0]

    Raises:
        TrainingError: there is no answer, or one has no worth or a reward that is none.
    """
    if len(rewards) != len(worths):
        raise TrainingError(f"{len(rewards)} rewards are not of {len(worths)} answers; give one for each")
    best(rewards)
    total = len(rewards)
    places = sorted(range(total), key=rewards.__getitem__)
    ascending: list[float] = []
    for _, equal in groupby(places, key=rewards.__getitem__):
        tied = [worths[place] for place in equal]
        ascending += [fmean(tied)] * len(tied)
    return [
        sum(comb(place, count - 1) * worth for place, worth in enumerate(ascending)) / comb(total, count)
        for count in range(1, total + 1)
    ]
