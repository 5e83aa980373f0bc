import math

import pytest

from benchmarks.miniatures.miniature import Comparison, Expected, Outcome, effect


def of(differences: list[float]) -> list[dict[str, float]]:
    return [{"method": 1 + difference, "beside": 1.0} for difference in differences]


def test_the_interval_is_student_s_of_the_paired_differences() -> None:
    found = effect(Comparison("reward", "method", "beside"), of([1, 2, 3, 4, 5]))
    assert (found.method, found.beside, found.difference) == pytest.approx((4, 1, 3))
    half = 2.776445 * math.sqrt(2.5 / 5)  # of 4 degrees of freedom
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), abs=1e-5)


@pytest.mark.parametrize(
    ("expected", "differences", "outcome"),
    [
        ("above", [1, 2, 3], "not told"),
        ("above", [2, 2.1, 2.2], "holds"),
        ("above", [-2, -2.1, -2.2], "reversed"),
        ("below", [-2, -2.1, -2.2], "holds"),
        ("below", [2, 2.1, 2.2], "reversed"),
        ("equal", [0.01, 0.0, -0.01], "holds"),
        ("equal", [0.2, 0.0, -0.2], "not told"),
        ("equal", [2, 2.1, 2.2], "reversed"),
    ],
)
def test_a_claim_holds_where_the_whole_interval_is_on_its_side(
    expected: Expected, differences: list[float], outcome: Outcome
) -> None:
    comparison = Comparison("reward", "method", "beside", expected, margin=0.1)
    assert effect(comparison, of(differences)).outcome == outcome


def test_one_seed_has_no_interval() -> None:
    with pytest.raises(ValueError, match="two seeds"):
        effect(Comparison("reward", "method", "beside"), of([1]))
