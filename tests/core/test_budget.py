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


def test_a_limit_of_nothing_allows_what_is_free_and_no_second_call_that_is_not() -> None:
    meter = Meter(Budget(cost=0))
    for usage in (Usage(calls=1, tokens_in=9), Usage(calls=1, tokens_in=9), Usage(calls=1, cost=0.01)):
        meter.reserve()
        meter.charge("judge", usage)
    with pytest.raises(BudgetExceeded, match=r"budget\.cost=0 USD is used up \(0\.01 spent\)"):
        meter.reserve()


def test_the_meter_of_a_run_stops_all_its_trees_and_pays_for_no_answer_twice() -> None:
    run = Meter(Budget(cost=0.5), prefix="max_", counts_cached=False)
    first, second = (Meter(Budget(calls=2), within=run) for _ in range(2))
    call = Usage(calls=1, cost=0.3)
    for cached in (False, True):
        first.reserve()
        first.charge("policy", call, cached=cached)
    assert (total(first.usage.values()).cost, total(run.usage.values()).cost) == (0.6, 0.3)
    with pytest.raises(BudgetExceeded, match=r"budget\.calls=2"):
        first.reserve()
    second.reserve()
    second.charge("sub", call)
    with pytest.raises(BudgetExceeded, match=r"max_cost=0\.5 USD is used up \(0\.6 spent\)"):
        second.reserve()
    assert (first.cut_off, second.cut_off) == ("", "max_cost=0.5 USD is used up (0.6 spent)")


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


def test_children_draw_on_their_parent_and_have_an_account_of_their_own() -> None:
    tree = Meter(Budget(calls=3))
    first, second = tree.child(), tree.child()
    for meter in (first, first, second):
        meter.reserve()
        meter.charge("sub", Usage(calls=1, tokens_in=5), cached=meter is second)
    assert [total(meter.usage.values()).calls for meter in (first, second, tree)] == [2, 1, 3]
    with pytest.raises(BudgetExceeded, match=r"budget\.calls=3"):
        first.reserve()


def test_a_meter_goes_on_where_an_earlier_process_stopped() -> None:
    now = 0.0
    run = Meter(Budget(cost=1), prefix="max_", counts_cached=False)
    tree = Meter(Budget(calls=4, seconds=10), within=run, clock=lambda: now)
    tree.go_on({"policy": Usage(calls=2, cost=0.5)}, seconds=6)
    tree.child().go_on({"sub": Usage(calls=1, cost=0.5)}, seconds=0)
    assert (total(tree.usage.values()).calls, total(run.usage.values()).calls) == (3, 0)
    tree.reserve()
    with pytest.raises(BudgetExceeded, match=r"budget\.calls=4"):
        tree.reserve()
    now = 4
    assert "budget.calls=4" in tree.used_up
    late = Meter(Budget(seconds=10), clock=lambda: now)
    late.go_on({}, seconds=10)
    assert late.used_up == "budget.seconds=10.0 is used up"
