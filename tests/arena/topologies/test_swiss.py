from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.arena.topologies.base import Outcome
from palaestra.arena.topologies.registry import (
    topology,
)
from palaestra.arena.topologies.swiss import SwissConfig
from tests.arena.topologies.boards import (
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
)


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=2, max_value=40), seeds)
def test_swiss_has_no_rematch_and_no_second_bye(count: int, luck: int) -> None:
    board = topology("swiss", names(count), luck)
    played = play(board, noisy(luck, failures=0.1))
    pairs = [frozenset(pairing[1:]) for pairing in played]
    assert len(set(pairs)) == len(pairs)
    rounds = max(int(pairing.stage.split()[-1]) for pairing in played)
    met = Counter(name for pair in pairs for name in pair)
    byes = [rounds - met[name] for name in names(count)]
    assert max(byes) <= 1
    assert sum(byes) == (rounds if count % 2 else 0)
    times_first = Counter(pairing.first for pairing in played)
    uneven = [abs(2 * times_first[name] - met[name]) for name in names(count)]
    assert max(uneven) <= 3
    assert sum(uneven) <= 1.5 * count


@law
@given(st.integers(min_value=2, max_value=12), seeds)
def test_swiss_pairs_equals(count: int, luck: int) -> None:
    """In the second round nobody who won meets one who lost, but for one pair where the numbers are odd."""
    board = topology("swiss", names(2 * count), luck)
    first_round = board.ready()
    for pairing in first_round:
        board.record(pairing, Outcome(1, 0))
    winners = {pairing.first for pairing in first_round}
    mixed = [
        pairing for pairing in board.ready() if (pairing.first in winners) != (pairing.second in winners)
    ]
    assert len(mixed) == count % 2


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=2, max_value=6), seeds)
def test_swiss_with_as_many_rounds_as_rivals_is_a_round_robin(half: int, luck: int) -> None:
    """Every pair meets, or a rematch was unavoidable: the tournament always ends."""
    board = topology(SwissConfig(rounds=100), names(2 * half), luck)
    assert len(play(board, noisy(luck))) == half * (2 * half - 1)


def test_swiss_by_hand() -> None:
    """Two of four win both rounds or lose both; the others are told apart by their opponents."""
    board = topology("swiss", list("abcd"), seed=0)
    play(board, by_strength({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}))
    standings = board.ranking().standings
    assert [standing.contestant for standing in standings][0::3] == ["a", "d"]
    assert [standing.score for standing in standings] == [1.0, 0.5, 0.5, 0.0]
