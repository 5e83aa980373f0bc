"""The `countdown` families: reach a target with given numbers, each used at most once.

The level of a family is how many numbers there are. Its ranges are 1 to 100 and 1 to 999 in the generator of
reasoning-gym; a small policy needs smaller ones.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from itertools import islice

from palaestra.core.errors import ConfigError
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.datasets.arithmetic.formula import read_formula, remark
from palaestra.datasets.arithmetic.search import Term, random_term
from palaestra.datasets.families import Example, Split

TEACHER_SOLVES = 0.75
"""Share of the examples that reach the target; the others only use the right numbers."""
FRUITLESS = 10_000
"""Draws in a row without a new puzzle after which there are taken to be no more."""


class CountdownFamily:
    """Puzzles that a formula with all of the numbers solves; one with some of them is as good."""

    def __init__(self, name: str, level: int, largest_number: int = 100, largest_target: int = 999) -> None:
        self.name = name
        self._level = level
        self._largest_number = largest_number
        self._largest_target = largest_target

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        return [example.task for example in self._solved(count, split, seed)]

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        draw = random.Random(f"{self.name} examples {seed}")
        return [
            example if draw.random() < TEACHER_SOLVES else _carelessly(example.task, draw)
            for example in self._solved(count, "train", seed)
        ]

    def utility(self, task: Task, answer: str) -> float:
        """1 for a formula in the last line that uses no number twice and gives the target; otherwise 0."""
        formula = read_formula(answer)
        return float(
            formula is not None
            and formula.value == task.metadata["target"]
            and Counter(formula.numbers) <= Counter(task.metadata["numbers"])
        )

    def remark(self, task: Task, answer: str) -> str:
        return "" if self.utility(task, answer) else remark(answer, task.metadata["target"])

    def _solved(self, count: int, split: Split, seed: int) -> list[Example]:
        found = list(islice(self._puzzles(split, seed), count))
        if len(found) < count:
            raise ConfigError(
                f"{self.name} has {len(found)} {split} tasks; {count} are asked for: ask for fewer"
            )
        return found

    def _puzzles(self, split: Split, seed: int) -> Iterator[Example]:
        """Distinct puzzles, each with a formula that solves it."""
        draw = random.Random(f"{self.name} {split} {seed}")
        known: set[str] = set()
        fruitless = 0
        while fruitless < FRUITLESS:
            numbers = [draw.randint(1, self._largest_number) for _ in range(self._level)]
            term = random_term(numbers, draw)
            key = digest([sorted(numbers), str(term.value)])
            fruitless += 1
            if self._is_target(term) and key not in known and _is_held_out(key) == (split == "held-out"):
                known.add(key)
                fruitless = 0
                yield Example(self._task(key, numbers, int(term.value)), term.text)

    def _is_target(self, term: Term) -> bool:
        return term.value.denominator == 1 and 1 <= term.value <= self._largest_target

    def _task(self, key: str, numbers: list[int], target: int) -> Task:
        listed = ",".join(map(str, numbers))
        return Task(
            id=f"{self.name}-{key[:12]}",
            family=self.name,
            prompt=f"Make {target} of these numbers, each used at most once: {listed}.",
            metadata={"numbers": numbers, "target": target},
        )


def _carelessly(task: Task, draw: random.Random) -> Example:
    return Example(task, random_term(task.metadata["numbers"], draw).text)


def _is_held_out(key: str) -> bool:
    """A fifth is, whatever the order of the numbers."""
    return int(key[:8], 16) % 5 == 0


LEVEL_2 = CountdownFamily("countdown-2", level=2)
LEVEL_3 = CountdownFamily("countdown-3", level=3)
LEVEL_4 = CountdownFamily("countdown-4", level=4)
LEVEL_5 = CountdownFamily("countdown-5", level=5)
SMALL = CountdownFamily("countdown", level=3, largest_number=20, largest_target=99)
"""Within reach of a model of a million parameters."""
