"""A task of any length that leaves room for error: each number of a request wants a certain other one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from benchmarks.miniatures.tiny_policy import Answer
from palaestra.core.task import Task
from palaestra.datasets.families import Example

NUMBERS = 20
"""Requests and answers are of the numbers below."""


def partners_examples(count: int, length: int, careless: float, seed: int) -> list[Example]:
    """Requests with their right answers as references, and answers whose numbers miss the right ones by
    normal errors with a standard deviation of `careless`. What wants what is the same for all seeds."""
    partners = random.Random(0).sample(range(NUMBERS), k=NUMBERS)
    pick = random.Random(seed)
    found = []
    for place in range(count):
        asked = [pick.randrange(NUMBERS) for _ in range(length)]
        wanted = [partners[each] for each in asked]
        missed = (round(pick.gauss(each, careless)) for each in wanted)
        task = Task(id=f"partners-{seed}-{place}", prompt=_written(asked), reference=_written(wanted))
        found.append(Example(task, _written([min(max(each, 0), NUMBERS - 1) for each in missed])))
    return found


def closeness(task: Task, answer: str) -> float:
    """1 less the mean distance to the right numbers, in units of their range; 0 for another form."""
    wanted, given = (task.reference or "").split(), answer.split()
    if len(given) != len(wanted) or not all(each.isdecimal() for each in given):
        return 0.0
    distances = (abs(int(each) - int(right)) for each, right in zip(given, wanted, strict=True))
    return max(0.0, 1 - fmean(distances) / NUMBERS)


def close(group: Sequence[Answer]) -> list[float]:
    """The closeness of each answer, as a reward."""
    return [closeness(answer.task, answer.text) for answer in group]


def _written(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))
