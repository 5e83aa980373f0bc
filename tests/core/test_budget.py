"""A meter stops a call tree at its limits, and tells an unknown price from none."""

from __future__ import annotations

import pytest

from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import BudgetExceeded
from palaestra.core.usage import Usage, add_by_role, total


def test_calls_in_flight_count_at_once() -> None:
    meter = Meter(Budget(calls=2))
    meter.reserve()
    meter.reserve()
    with pytest.raises(BudgetExceeded, match=r"budget\.calls=2"):
        meter.reserve()


@pytest.mark.parametrize(
    ("budget", "usage", "message"),
    [
        (Budget(tokens=100), Usage(calls=1, tokens_in=60, tokens_out=40), "budget.tokens=100 .*100 spent"),
        (Budget(cost=0.5), Usage(calls=1, cost=0.5), "budget.cost=0.5 USD"),
        (Budget(cost=0.5), Usage(calls=1, cost=None), "no known price"),
    ],
)
def test_the_next_call_is_refused_when_a_limit_is_used_up(budget: Budget, usage: Usage, message: str) -> None:
    meter = Meter(budget)
    meter.reserve()
    meter.charge("sub", usage)
    with pytest.raises(BudgetExceeded, match=message):
        meter.reserve()


def test_time_counts_from_the_start_of_the_root() -> None:
    now = 100.0
    meter = Meter(Budget(seconds=5), clock=lambda: now)
    meter.reserve()
    now = 105.0
    with pytest.raises(BudgetExceeded, match=r"budget\.seconds"):
        meter.reserve()


def test_a_sum_with_an_unknown_price_is_unknown() -> None:
    known, unknown = Usage(calls=1, tokens_in=5, cost=0.25), Usage(calls=2, tokens_out=7, cost=None)
    assert total([known, known]) == Usage(calls=2, tokens_in=10, cost=0.5)
    assert total([known, unknown]) == Usage(calls=3, tokens_in=5, tokens_out=7, cost=None)
    assert add_by_role({"policy": known}, {"policy": known, "judge": unknown}) == {
        "judge": unknown,
        "policy": Usage(calls=2, tokens_in=10, cost=0.5),
    }
