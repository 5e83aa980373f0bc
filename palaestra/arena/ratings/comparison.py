"""What a judge's answers on one pair look like to a rating."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.intp]


class Comparison(NamedTuple):
    """One call, or the mean of two calls that showed the pair in both orders."""

    first: int
    """Seat of the contestant shown first, from 0."""
    second: int
    first_points: float
    """0 to 10."""
    second_points: float
    orders: int
    """1 or 2; over both orders a preference for a position cancels out."""


class Comparisons(NamedTuple):
    """Comparisons as columns. Shape suffix: `_C` comparisons."""

    first_C: Integers
    second_C: Integers
    first_points_C: Floats
    second_points_C: Floats
    orders_C: Floats

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> Comparisons:
        """Sorted, so that no sum depends on the order in which they came."""
        rows = np.array(sorted(comparisons), dtype=np.float64).reshape(-1, 5)
        seats = rows[:, :2].astype(np.intp)
        return cls(seats[:, 0], seats[:, 1], rows[:, 2], rows[:, 3], rows[:, 4])

    @property
    def name_winners_only(self) -> bool:
        """Whether the points are those of judges that give 10/0, 5/5 and 0/10 and nothing between."""
        answers = self.first_points_C * self.orders_C / 5
        complementary = self.first_points_C + self.second_points_C == 10
        return bool(np.all(complementary & (answers == np.round(answers))))

    def differences(self, contestants: int) -> Floats:
        """Shape (C, contestants + 1): first minus second, plus the position effect of a single order."""
        rows = np.arange(len(self.first_C))
        design_CP = np.zeros((len(rows), contestants + 1))
        design_CP[rows, self.first_C] = 1
        design_CP[rows, self.second_C] = -1
        design_CP[:, contestants] = self.orders_C == 1
        return design_CP
