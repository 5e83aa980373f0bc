"""The exact McNemar test."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.analysis.mcnemar import Paired, mcnemar, pair

COUNTS = st.integers(0, 9)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(10, 2, 0.0386), (6, 1, 0.125), (5, 0, 0.0625), (4, 0, 0.125), (0, 0, 1.0), (3, 3, 1.0)],
)
def test_worked_values(first: int, second: int, expected: float) -> None:
    assert mcnemar(first, second) == mcnemar(second, first) == pytest.approx(expected, abs=5e-5)


@given(COUNTS, COUNTS)
def test_it_is_the_share_of_coin_tosses_at_least_as_one_sided(first: int, second: int) -> None:
    tosses = first + second
    if tosses > 12:
        return
    extreme = sum(
        abs(2 * sum(heads) - tosses) >= abs(first - second) for heads in product((0, 1), repeat=tosses)
    )
    assert mcnemar(first, second) == pytest.approx(float(Fraction(extreme, 2**tosses)))


def test_large_counts_do_not_overflow() -> None:
    assert mcnemar(600, 600) == 1.0
    assert 0 < mcnemar(700, 500) < 1e-7


def test_only_what_both_have_answered_is_paired() -> None:
    first = {"a": True, "b": True, "c": False, "d": False, "e": True}
    second = {"a": True, "b": False, "c": True, "d": False, "f": True}
    assert pair(first, second) == Paired(both=1, only_first=1, only_second=1, neither=1)
    assert pair(first, second).p_value == 1.0
