"""Whether one of two ways to answer the same questions is right more often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple


class Paired(NamedTuple):
    """Right and wrong answers to the same questions, in two ways."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def p_value(self) -> float:
        return mcnemar(self.only_first, self.only_second)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value for the questions that only one of two ways got right (McNemar, 1947).

    Under the null hypothesis each of them was as likely to be got right by the other way.

    >>> [round(mcnemar(*counts), 4) for counts in ((10, 2), (6, 1), (5, 0), (4, 0))]
    [0.0386, 0.125, 0.0625, 0.125]
    """
    differing = only_first + only_second
    tail = sum(math.comb(differing, fewer) for fewer in range(min(only_first, only_second) + 1))
    both_sides: float = 2 * tail / 2**differing
    return min(1.0, both_sides)


def pair(first: Mapping[str, bool], second: Mapping[str, bool]) -> Paired:
    """By the questions that both have answered."""
    outcomes = [(first[name], second[name]) for name in first.keys() & second.keys()]
    return Paired(
        both=outcomes.count((True, True)),
        only_first=outcomes.count((True, False)),
        only_second=outcomes.count((False, True)),
        neither=outcomes.count((False, False)),
    )
