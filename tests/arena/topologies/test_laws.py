"""Laws that every topology keeps."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.registry import (
    TopologyName,
    match_count,
    topology,
)
from tests.arena.topologies.boards import (
    ALL,
    EXACT,
    SEEDLESS,
    any_topology,
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
    sizes,
)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", range(1, 18))
def test_match_counts_are_the_closed_forms(name: TopologyName, count: int) -> None:
    board = topology(name, names(count))
    played = play(board, noisy(0))
    rivals = count - 1
    closed_form = {
        "round-robin": count * rivals // 2,
        "anchor": rivals,
        "single-elimination": 2 * rivals,
        "double-elimination": 3 * rivals,
        "swiss": min(rivals, rivals.bit_length()) * (count // 2),
        "oneshot": min(4 * rivals, count * rivals),
        "adaptive": min(4 * rivals, count * rivals),
        "halving": min(4 * rivals, count * rivals),
    }
    assert len(played) == match_count(name, count) == closed_form[name]
    assert len(set(played)) == len(played)
    assert sum(standing.comparisons for standing in board.ranking().standings) == 2 * len(played)


@law
@given(any_topology, sizes, seeds, seeds)
def test_everyone_is_placed_by_competition_ranks(
    name: TopologyName, count: int, seed: int, luck: int
) -> None:
    board = topology(name, names(count), seed)
    play(board, noisy(luck, failures=0.2))
    ranks = [standing.rank for standing in board.ranking().standings]
    assert {standing.contestant for standing in board.ranking().standings} == set(names(count))
    assert ranks == [sum(other < rank for other in ranks) for rank in ranks]


@law
@given(any_topology, sizes, seeds, seeds, st.randoms(use_true_random=False))
def test_the_order_of_arrival_leaves_no_trace(
    name: TopologyName, count: int, seed: int, luck: int, arrival: random.Random
) -> None:
    first, second = topology(name, names(count), seed), topology(name, names(count), seed)
    matches = play(first, noisy(luck, failures=0.1))
    assert set(matches) == set(play(second, noisy(luck, failures=0.1), arrival))
    assert first.ranking() == second.ranking()


@law
@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_names_mean_nothing(name: TopologyName, count: int, luck: int, shuffle: random.Random) -> None:
    old = names(count)
    new = dict(zip(old, shuffle.sample(old, count), strict=True))
    back = {after: before for before, after in new.items()}
    outcome = noisy(luck, failures=0.1)

    def same_outcome(pairing: Pairing) -> Outcome | None:
        return outcome(Pairing(pairing.stage, back[pairing.first], back[pairing.second]))

    before, after = topology(name, old), topology(name, [new[contestant] for contestant in old])
    play(before, outcome)
    play(after, same_outcome)
    assert after.ranking().ranks == {new[one]: rank for one, rank in before.ranking().ranks.items()}


@law
@given(st.sampled_from(SEEDLESS), sizes, seeds, st.randoms(use_true_random=False))
def test_seats_and_seed_mean_nothing_where_the_points_decide(
    name: TopologyName, count: int, seed: int, shuffle: random.Random
) -> None:
    anchor, *others = names(count)
    strengths = dict(zip([anchor, *others], shuffle.sample(range(1000), count), strict=True))
    before, after = (
        topology(name, [anchor, *others], seed),
        topology(name, [anchor, *shuffle.sample(others, len(others))], seed + 1),
    )
    play(before, by_strength(strengths))
    play(after, by_strength(strengths))
    assert before.ranking().ranks == after.ranking().ranks


@law
@given(any_topology, sizes, seeds, st.randoms(use_true_random=False))
def test_without_noise_the_best_is_first(
    name: TopologyName, count: int, seed: int, shuffle: random.Random
) -> None:
    strengths = dict(zip(names(count), shuffle.sample(range(1000), count), strict=True))
    board = topology(name, names(count), seed)
    play(board, by_strength(strengths))
    order = [standing.contestant for standing in board.ranking().standings]
    assert order[0] == max(strengths, key=strengths.__getitem__)
    if name in EXACT:
        assert order == sorted(strengths, key=strengths.__getitem__, reverse=True)


@law
@given(st.integers(min_value=2, max_value=19), seeds)
def test_everyone_is_named_first_equally_often(count: int, seed: int) -> None:
    times_first = Counter(pairing.first for pairing in topology("round-robin", names(count), seed).ready())
    assert all(abs(times_first[name] - (count - 1) / 2) <= 0.5 for name in names(count))
    anchored = Counter(pairing.first for pairing in topology("anchor", names(count), seed).ready())
    assert abs(anchored["c0"] - (count - 1) / 2) <= 0.5


def test_over_many_seeds_a_pair_is_shown_in_both_orders() -> None:
    for name in ALL:
        first = Counter(topology(name, ["a", "b"], seed).ready()[0].first for seed in range(200))
        assert 70 <= first["a"] <= 130


@pytest.mark.parametrize("name", ALL)
def test_a_group_of_draws_has_no_order(name: TopologyName) -> None:
    for seed in range(5):
        board = topology(name, names(6), seed)
        play(board, lambda _: Outcome(5, 5))
        assert set(board.ranking().ranks.values()) == {0}


@pytest.mark.parametrize("name", ALL)
def test_an_outcome_counts_once_and_only_for_a_match_that_was_handed_out(name: TopologyName) -> None:
    board = topology(name, names(3))
    pairing = board.ready()[0]
    board.record(pairing, Outcome(1, 0))
    with pytest.raises(ValueError, match="has its outcome already"):
        board.record(pairing, Outcome(1, 0))
    with pytest.raises(ValueError, match="distinct contestants"):
        topology(name, ["a", "a"])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_without_any_verdict_nothing_is_claimed(name: TopologyName, count: int) -> None:
    board = topology(name, names(count), seed=1)
    played = play(board, lambda _: None)
    ranking = board.ranking()
    assert ranking.undecided == len(played)
    assert all(standing.comparisons == 0 for standing in ranking.standings)
    assert all(standing.standard_error is None for standing in ranking.standings) or name == "swiss"
