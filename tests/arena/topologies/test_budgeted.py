"""The topologies that play as many matches as they may."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.adaptive import AdaptiveConfig
from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.design import regular_graph
from palaestra.arena.topologies.halving import HalvingConfig
from palaestra.arena.topologies.registry import (
    TopologyName,
    call_count,
    topology,
)
from tests.arena.topologies.boards import (
    BUDGETED,
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
    topology_named,
)


@law
@given(st.integers(min_value=1, max_value=40), st.integers(min_value=0, max_value=200))
def test_regular_graphs_are_regular(nodes: int, wanted: int) -> None:
    edges = regular_graph(nodes, wanted)
    assert len(edges) == min(wanted, nodes * (nodes - 1)) == len(set(edges))
    degree = Counter(node for edge in edges for node in edge)
    first = Counter(edge[0] for edge in edges)
    degrees = [degree[node] for node in range(nodes)]
    assert max(degrees) - min(degrees) <= 2
    assert all(abs(2 * first[node] - degree[node]) <= 2 for node in range(nodes))
    if len(edges) <= nodes * (nodes - 1) // 2:
        assert len({frozenset(edge) for edge in edges}) == len(edges)
    if wanted >= nodes:
        reached = {0}
        while more := {b for a, b in edges if a in reached} | {a for a, b in edges if b in reached} - reached:
            if more <= reached:
                break
            reached |= more
        assert len(reached) == nodes


@law
@given(st.sampled_from(BUDGETED), st.integers(min_value=2, max_value=20), st.integers(1, 120), seeds)
def test_a_budget_is_kept_and_used(name: TopologyName, count: int, budget: int, luck: int) -> None:
    config = topology_named(name, budget=budget)
    board = topology(config, names(count), luck)
    assert board.orders == "one"
    calls = play(board, noisy(luck, failures=0.1))
    assert len(calls) == call_count(config, count) == min(budget, count * (count - 1))
    asked = Counter(pairing[1:] for pairing in calls)
    if name != "halving":
        assert set(asked.values()) == {1}
    if budget <= count * (count - 1) // 2 and name != "halving":
        assert len({frozenset(pair) for pair in asked}) == budget


def test_calls_are_counted_as_they_are_asked() -> None:
    assert (
        call_count("single-elimination", 16) == call_count("oneshot", 16) == call_count("halving", 16) == 60
    )
    assert call_count("swiss", 16, "one") == 32
    assert call_count("oneshot", 16, "both") == 60


@law
@given(st.integers(min_value=3, max_value=20), seeds, st.integers(min_value=2, max_value=4))
def test_adaptive_goes_on_while_the_latest_calls_are_under_way(count: int, luck: int, load: int) -> None:
    """After the opening as many calls as there are contestants may be under way at once, to the end."""
    board = topology(AdaptiveConfig(budget=load * count), names(count), luck)
    outcome = noisy(luck)
    under_way, left = list(board.ready()), board.match_count
    while under_way:
        assert len(under_way) >= min(count, left)
        board.record(under_way[0], outcome(under_way.pop(0)))
        left -= 1
        under_way += board.ready()


def test_adaptive_asks_about_those_who_are_hard_to_tell_apart() -> None:
    """Six contestants of which two are equal and the others far apart."""
    strengths = {"c0": 9.0, "c1": 7.5, "c2": 6.0, "c3": 4.5, "c4": 1.0, "c5": 1.0}
    luck = random.Random(0)

    def blurred(pairing: Pairing) -> Outcome:
        first, second = (strengths[name] + luck.gauss(0, 0.5) for name in pairing[1:])
        return Outcome(first, second)

    asked: Counter[frozenset[str]] = Counter()
    for seed in range(20):
        for pairing in play(topology(AdaptiveConfig(budget=13), names(6), seed), blurred):
            asked[frozenset(pairing[1:])] += pairing.stage != "opening"
    assert asked[frozenset(("c4", "c5"))] > asked[frozenset(("c0", "c5"))]


def test_halving_spends_the_second_half_on_the_best() -> None:
    strengths = {name: float(place) / 4 for place, name in enumerate(names(16))}
    board = topology(HalvingConfig(), names(16), seed=3)
    calls = play(board, by_strength(strengths))
    late = Counter(name for pairing in calls if pairing.stage == "batch 3" for name in pairing[1:])
    assert set(late) <= {"c12", "c13", "c14", "c15"}
    both_ways = Counter(frozenset(pairing[1:]) for pairing in calls if pairing.stage == "batch 2")
    assert set(both_ways.values()) == {2}
