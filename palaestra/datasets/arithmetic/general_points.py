"""The `general-points` families: make 24 of four cards (GeneralPoints, arXiv 2501.17161).

Two rules for the face cards make of one hand two different tasks: a policy trained under one rule can be
tested under the other. Both families hold out the same numbers.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import product

from palaestra.core.errors import ConfigError
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.datasets.arithmetic.formula import read_formula, remark
from palaestra.datasets.arithmetic.search import random_term, solve
from palaestra.datasets.families import Example, Split

TARGET = 24
CARDS = ("A", "2", "3", "4", "5", "6", "7", "8", "9", "10", "J", "Q", "K")
TEACHER_SOLVES = 0.75
"""Share of the examples that reach the target; the others only use the right numbers."""


class GeneralPointsFamily:
    """The hands of four cards from which 24 can be made. The prompt tells what the face cards count.

    With `needs_face` the hands on which the rule has no bearing are left out.
    """

    def __init__(self, name: str, faces: tuple[int, int, int], needs_face: bool) -> None:
        self.name = name
        self._numbers = dict(zip(CARDS, (*range(1, 11), *faces), strict=True))
        self._needs_face = needs_face

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        hands = self.hands(split)
        if count > len(hands):
            raise ConfigError(
                f"{self.name} has {len(hands)} {split} tasks; {count} are asked for: ask for fewer"
            )
        random.Random(f"{self.name} {split} {seed}").shuffle(hands)
        return [self._task(hand) for hand in hands[:count]]

    def hands(self, split: Split) -> list[tuple[str, ...]]:
        """All of one split, in the order of the cards."""
        return [hand for hand in product(CARDS, repeat=4) if self._is_in(split, hand)]

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        draw = random.Random(f"{self.name} examples {seed}")
        return [Example(task, _formula(task, draw)) for task in self.tasks(count, "train", seed)]

    def utility(self, task: Task, answer: str) -> float:
        """1 for a formula in the last line that uses each card once and gives exactly 24; otherwise 0."""
        formula = read_formula(answer)
        numbers = sorted(task.metadata["numbers"])
        return float(formula is not None and formula.value == TARGET and sorted(formula.numbers) == numbers)

    def remark(self, task: Task, answer: str) -> str:
        return "" if self.utility(task, answer) else remark(answer, TARGET)

    def _is_in(self, split: Split, hand: tuple[str, ...]) -> bool:
        if self._needs_face and not {"J", "Q", "K"} & set(hand):
            return False
        numbers = tuple(sorted(self._numbers[card] for card in hand))
        return _solution(numbers) is not None and _is_held_out(numbers) == (split == "held-out")

    def _task(self, hand: tuple[str, ...]) -> Task:
        rule = ", ".join(f"{card}={self._numbers[card]}" for card in "AJQK")
        return Task(
            id=f"{self.name}-{'-'.join(hand)}",
            family=self.name,
            prompt=f"Make {TARGET} of these cards, each used once: {','.join(hand)}. ({rule})",
            metadata={"numbers": [self._numbers[card] for card in hand]},
        )


def _formula(task: Task, draw: random.Random) -> str:
    numbers = task.metadata["numbers"]
    solution = _solution(tuple(sorted(numbers)))
    return solution if solution and draw.random() < TEACHER_SOLVES else random_term(numbers, draw).text


@cache
def _solution(numbers: tuple[int, ...]) -> str | None:
    return solve(numbers, TARGET)


@cache
def _is_held_out(numbers: tuple[int, ...]) -> bool:
    """A fifth is, whatever the rule and the order of the cards."""
    return int(digest(numbers)[:8], 16) % 5 == 0


IN_DISTRIBUTION = GeneralPointsFamily("general-points", faces=(10, 10, 10), needs_face=False)
OUT_OF_DISTRIBUTION = GeneralPointsFamily("general-points-ood", faces=(11, 12, 13), needs_face=True)
