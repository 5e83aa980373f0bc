"""pass@k against its definition."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import TrainingError
from palaestra.training.pass_at_k import pass_at_k, pass_curve


def test_worked_values() -> None:
    assert pass_at_k(samples=256, correct=10, k=8) == pytest.approx(0.2762462, abs=5e-8)
    assert pass_at_k(samples=256, correct=0, k=256) == 0
    assert pass_at_k(samples=10, correct=3, k=8) == 1  # fewer wrong ones than k


@given(st.data(), st.integers(1, 300))
def test_it_is_the_published_fraction(data: st.DataObject, samples: int) -> None:
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    expected = 1 - comb(samples - correct, k) / comb(samples, k)
    assert pass_at_k(samples, correct, k) == pytest.approx(expected, abs=1e-12)


def test_it_is_the_share_of_subsets_with_a_right_answer() -> None:
    """Unbiased: the mean over all ways to draw k of the n samples."""
    right = [True, False, False, True, False, False]
    for k in range(1, 7):
        subsets = list(combinations(right, k))
        assert pass_at_k(6, 2, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_the_curve_is_the_mean_over_tasks_for_every_k() -> None:
    curve = pass_curve(4, [4, 0, 1])
    assert curve == pytest.approx([(1 + 0 + 0.25 * k) / 3 for k in range(1, 5)])


@pytest.mark.parametrize(("samples", "correct", "k"), [(4, 1, 5), (4, 5, 1), (4, 1, 0), (4, -1, 1)])
def test_what_is_not_defined_is_an_error(samples: int, correct: int, k: int) -> None:
    with pytest.raises(TrainingError, match="is not defined"):
        pass_at_k(samples, correct, k)
