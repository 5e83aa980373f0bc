from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.single_elimination import SingleElimination
from tests.arena.topologies.boards import (
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
)


@law
@given(st.integers(min_value=2, max_value=33), seeds)
def test_byes_go_to_the_top_seeds(count: int, luck: int) -> None:
    board = SingleElimination(names(count), seed=luck)
    play(board, noisy(luck))
    byes = [
        side.seed
        for match in board.bracket.rounds[0]
        for side in (match.upper, match.lower)
        if side and None in (match.upper, match.lower)
    ]
    size = 1 << (count - 1).bit_length()
    assert sorted(byes) == list(range(1, size - count + 1))


def test_single_elimination_by_hand() -> None:
    """Five contestants. Seeds by the points of the seeding: d 9, b 8, anchor a 6.5, e 6, c 4; then byes for
    d, b and a; e beats c; d draws with e and goes on as the better seed; a beats b; d beats a."""
    seeding = {"b": (5, 8), "c": (9, 4), "d": (4, 9), "e": (8, 6)}
    bracket = {
        frozenset("ec"): {"e": 7.0, "c": 3.0},
        frozenset("de"): {"d": 5.0, "e": 5.0},
        frozenset("ab"): {"a": 6.0, "b": 2.0},
        frozenset("da"): {"d": 8.0, "a": 7.0},
    }
    board = SingleElimination(list("abcde"))

    def outcome(pairing: Pairing) -> Outcome:
        if pairing.stage == "seeding":
            other = pairing.second if pairing.first == "a" else pairing.first
            points = dict(zip(("a", other), map(float, seeding[other]), strict=True))
        else:
            points = bracket[frozenset(pairing[1:])]
        return Outcome(points[pairing.first], points[pairing.second])

    played = play(board, outcome)
    assert Counter(pairing.stage for pairing in played) == {
        "seeding": 4,
        "quarter-final": 1,
        "semi-final": 2,
        "final": 1,
    }
    assert [(standing.contestant, standing.rank) for standing in board.ranking().standings] == [
        ("d", 0),
        ("a", 1),
        ("e", 2),  # lost the semi-final with a mean of 6, b with one of 5
        ("b", 3),
        ("c", 4),
    ]
    assert [standing.score for standing in board.ranking().standings] == pytest.approx(
        [22 / 3, 39 / 6, 6.0, 5.0, 3.5]
    )


def test_a_final_without_a_verdict_goes_to_the_better_seed() -> None:
    board = SingleElimination(["anchor", "better"])
    strengths = by_strength({"anchor": 4.0, "better": 6.0})
    play(board, lambda pairing: strengths(pairing) if pairing.stage == "seeding" else None)
    ranking = board.ranking()
    assert ranking.ranks == {"better": 0, "anchor": 1}
    assert (ranking.undecided, ranking.standings[0].comparisons) == (1, 1)


def test_equal_seeds_are_ordered_by_lot_and_not_by_seat() -> None:
    """The anchor draws everyone in the seeding, then the better seed wins every match."""
    winners = set()
    for seed in range(40):
        board = SingleElimination(names(4), seed)
        play(board, lambda pairing: Outcome(5, 5) if pairing.stage == "seeding" else None)
        winners.add(board.bracket.champion)
    assert winners == set(names(4))


def test_a_match_waits_for_its_own_sides_only() -> None:
    """Eight contestants; when two neighbouring quarter-finals are over their semi-final is ready."""
    board = SingleElimination(names(8))
    strengths = {name: float(8 - place) for place, name in enumerate(names(8))}
    outcome = by_strength(strengths)
    for pairing in board.ready():
        board.record(pairing, outcome(pairing))
    quarter_finals = {frozenset(pairing[1:]): pairing for pairing in board.ready()}
    for sides, then_ready in (({"c0", "c7"}, []), ({"c2", "c5"}, []), ({"c3", "c4"}, ["semi-final"])):
        pairing = quarter_finals[frozenset(sides)]
        board.record(pairing, outcome(pairing))
        assert [pairing.stage for pairing in board.ready()] == then_ready
