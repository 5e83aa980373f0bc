"""The tournament: points over both orders, missing verdicts, limits and resumption."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.arena.group import Unranked
from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.topologies.registry import TopologyName, match_count
from palaestra.arena.tournament import TournamentConfig
from palaestra.core.errors import BudgetExceeded, ModelUnreachable
from palaestra.core.events import Event, JudgementGiven, RankingMade
from palaestra.core.ranking import Ranking
from tests.arena.playing import (
    EXACT,
    NOISY,
    FailingJudge,
    SlowJudge,
    group,
    groups,
    judgements,
    play,
    ranking,
    worth,
)


@pytest.mark.parametrize("topology", ["round-robin", "anchor", "single-elimination"])
def test_every_match_is_asked_in_both_orders_and_every_ranking_is_written(topology: TopologyName) -> None:
    events: list[Event] = []
    results = asyncio.run(play(EXACT, groups(3, 5, topology), events))
    assert len(judgements(events)) == 3 * 2 * match_count(topology, 5)
    orders = Counter(
        (each.group, each.stage, frozenset((each.first, each.second))) for each in judgements(events)
    )
    assert set(orders.values()) == {2}
    made = {event.group: event.ranking for event in events if isinstance(event, RankingMade)}
    assert made == results
    assert {event.judge for event in judgements(events)} == {"exact"}


def test_both_orders_cancel_a_position_bias_that_decides_in_one() -> None:
    biased = ProgrammaticJudge("biased", worth, position_bias=2.0)

    def winners(config: TournamentConfig) -> Counter[str]:
        to_play = [group(f"g{n}", [5.0, 6.0], "round-robin") for n in range(20)]
        results = asyncio.run(play(biased, to_play, [], config=config))
        return Counter(ranking(result).standings[0].contestant[-1] for result in results.values())

    assert winners(TournamentConfig(orders="both")) == {"1": 20}
    assert 4 <= winners(TournamentConfig(orders="one"))["1"] <= 16


def test_one_order_halves_the_calls() -> None:
    events: list[Event] = []
    asyncio.run(play(EXACT, groups(2, 6), events, config=TournamentConfig(orders="one")))
    assert len(judgements(events)) == 2 * match_count("single-elimination", 6)


def test_the_points_of_a_match_are_the_mean_over_its_verdicts() -> None:
    biased = ProgrammaticJudge("biased", worth, position_bias=2.0)
    result = asyncio.run(play(biased, [group("g", [3.0, 6.0], "anchor")], []))
    assert {each.contestant: each.score for each in ranking(result["g"]).standings} == {
        "g-0": 4.0,
        "g-1": 7.0,
    }


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["round-robin", "anchor", "single-elimination"]),
    st.integers(1, 9),
    st.integers(1, 7),
    st.integers(0, 100),
)
def test_timing_and_concurrency_leave_no_trace(
    topology: TopologyName, size: int, concurrency: int, luck: int
) -> None:
    slow = SlowJudge(seed=luck)
    calm = asyncio.run(play(NOISY, groups(3, size, topology), [], concurrency=1))
    busy = asyncio.run(play(slow, groups(3, size, topology), [], concurrency=concurrency))
    assert calm == busy
    assert slow.most <= concurrency


def test_one_queue_keeps_the_judge_busy_over_all_groups() -> None:
    slow = SlowJudge()
    asyncio.run(play(slow, groups(6, 4), [], concurrency=12))
    assert slow.most == 12


def test_no_verdict_is_asked_again_as_a_new_attempt() -> None:
    events: list[Event] = []
    judge = FailingJudge(("g-0", "g-1", 0), ("g-0", "g-1", 1))
    result = asyncio.run(play(judge, [group("g", [3.0, 6.0], "anchor")], events))
    assert ranking(result["g"]).ranks == {"g-1": 0, "g-0": 1}
    assert ranking(result["g"]).undecided == 0
    assert judge.asked == {
        ("g-0", "g-1", 0): 1,
        ("g-0", "g-1", 1): 1,
        ("g-0", "g-1", 2): 1,
        ("g-1", "g-0", 0): 1,
    }
    kinds = {(each.first, each.attempt): each.judgement.kind for each in judgements(events)}
    assert kinds == {
        ("g-0", 0): "no-verdict",
        ("g-0", 1): "no-verdict",
        ("g-0", 2): "verdict",
        ("g-1", 0): "verdict",
    }


def test_a_pair_that_meets_again_is_a_new_draw() -> None:
    """Two contestants meet in the seeding and in the final; each time is an attempt of its own."""
    judge = FailingJudge()
    asyncio.run(play(judge, [group("g", [3.0, 6.0])], []))
    assert judge.asked == {
        (*order, attempt): 1 for order in (("g-0", "g-1"), ("g-1", "g-0")) for attempt in (0, 1)
    }


def test_a_match_with_one_order_missing_is_undecided_for_both() -> None:
    """c would beat everyone, but the judge fails whenever c is shown second: c profits in no match."""
    judge = FailingJudge((None, "g-2", None))
    events: list[Event] = []
    result = ranking(asyncio.run(play(judge, [group("g", [3.0, 6.0, 9.0], "round-robin")], events))["g"])
    assert result.undecided == 2
    by_name = {each.contestant: each for each in result.standings}
    assert by_name["g-2"].comparisons == 0
    assert (by_name["g-2"].score, by_name["g-2"].standard_error) == (0.5, None)
    assert result.ranks == {"g-1": 0, "g-2": 1, "g-0": 2}
    assert sum(each.judgement.kind == "no-verdict" for each in judgements(events)) == 2 * 3


def test_a_group_without_any_verdict_is_unranked_and_its_siblings_go_on() -> None:
    judge = FailingJudge(*[(f"g1-{seat}", None, None) for seat in range(4)])
    events: list[Event] = []
    results = asyncio.run(play(judge, groups(3, 4), events))
    assert results["g1"] == Unranked("mumbled")
    assert isinstance(results["g0"], Ranking)
    assert isinstance(results["g2"], Ranking)
    assert {event.group for event in events if isinstance(event, RankingMade)} == {"g0", "g2"}


def test_a_single_contestant_is_ranked_without_a_call() -> None:
    judge = FailingJudge()
    result = asyncio.run(play(judge, [group("g", [3.0])], []))
    assert ranking(result["g"]).ranks == {"g-0": 0}
    assert not judge.asked


def test_a_judge_that_is_gone_stops_the_tournament_after_the_calls_under_way() -> None:
    judge = SlowJudge(dies_after=30)
    events: list[Event] = []
    with pytest.raises(ModelUnreachable, match="start the server"):
        asyncio.run(play(judge, groups(8, 8), events, concurrency=6))
    assert judge.finished == len(judgements(events)) == 30
    assert judge.calls < 30 + 2 * 6


def test_a_cost_limit_stops_asking_and_keeps_what_was_answered() -> None:
    judge = SlowJudge(cost=0.01)
    events: list[Event] = []
    with pytest.raises(BudgetExceeded, match=r"cost=0\.2"):
        asyncio.run(play(judge, groups(8, 8), events, concurrency=4, cost=0.2))
    assert 20 <= len(judgements(events)) == judge.calls <= 23


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 120), st.randoms(use_true_random=False))
def test_a_resumed_tournament_repeats_no_call_and_ends_alike(stored: int, shuffle: random.Random) -> None:
    def judge() -> FailingJudge:
        return FailingJudge((None, "g0-1", 0), ("g1-2", None, None), judge=NOISY)

    whole: list[Event] = []
    uninterrupted = asyncio.run(play(judge(), groups(2, 6), whole))
    before = whole[:stored]
    known = [event for event in before if isinstance(event, JudgementGiven | RankingMade)]
    shuffle.shuffle(known)
    after: list[Event] = []
    second = judge()
    resumed = asyncio.run(play(second, groups(2, 6), after, known=known))
    assert resumed == uninterrupted

    def keys(events: Iterable[Event]) -> Counter[tuple[str, str, int]]:
        return Counter((each.first, each.second, each.attempt) for each in judgements(events))

    assert keys(before) + keys(after) == keys(whole)
    assert second.asked == keys(after)
    made = [event.group for event in (*before, *after) if isinstance(event, RankingMade)]
    assert sorted(made) == ["g0", "g1"]
