"""What a group's state asks, and in which orders, for topologies with a way of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import get_args

import pytest

from palaestra.arena.group import Call, Group, GroupState, Unranked
from palaestra.arena.topologies.registry import TopologyName, call_count
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict

ALL = get_args(TopologyName)
FAILED = NoVerdict(reason="mumbled")


def state(name: TopologyName, size: int) -> GroupState:
    contestants = [
        Trajectory(id=f"c{seat}", task_id="t", agent="a", status="finished", answer="")
        for seat in range(size)
    ]
    return GroupState(Group.of("g", Task(id="t", prompt="?"), contestants, name, seed=2), "both", retries=2)


def play(group: GroupState, answer: Callable[[Call], Verdict | NoVerdict]) -> list[Call]:
    asked, waiting = [], group.calls()
    while waiting:
        call = waiting.pop(0)
        asked.append(call)
        group.take(call, answer(call))
        waiting += group.calls()
    assert group.is_over
    return asked


def by_seat(call: Call) -> Verdict:
    return Verdict.from_scores(10 - float(call.first[1:]), 10 - float(call.second[1:]))


@pytest.mark.parametrize("name", ALL)
def test_a_judge_that_always_fails_ranks_nobody(name: TopologyName) -> None:
    group = state(name, 5)
    play(group, lambda _: FAILED)
    assert group.result() == Unranked("mumbled")


@pytest.mark.parametrize("name", ALL)
def test_as_many_calls_as_counted_and_the_best_on_top(name: TopologyName) -> None:
    group = state(name, 6)
    assert len(play(group, by_seat)) == call_count(name, 6)
    result = group.result()
    assert isinstance(result, Ranking)
    assert result.standings[0].contestant == "c0"


@pytest.mark.parametrize("name", ["oneshot", "adaptive"])
def test_budgeted_pairs_are_asked_in_one_order_whatever_the_tournament_says(name: TopologyName) -> None:
    asked = Counter(frozenset((call.first, call.second)) for call in play(state(name, 9), by_seat))
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("name", ALL)
def test_failures_within_the_retries_change_nothing(name: TopologyName) -> None:
    whole, failing = state(name, 7), state(name, 7)
    seen: Counter[tuple[str, str, str]] = Counter()

    def second_time(call: Call) -> Verdict | NoVerdict:
        question = (call.pairing.stage, call.first, call.second)
        seen[question] += 1
        return by_seat(call) if seen[question] > 1 else FAILED

    play(whole, by_seat)
    play(failing, second_time)
    assert whole.result() == failing.result()
