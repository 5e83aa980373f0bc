from __future__ import annotations

import pytest

from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.registry import (
    topology,
)
from tests.arena.topologies.boards import (
    names,
    play,
)


def test_a_missing_outcome_is_in_nobodys_mean() -> None:
    board = topology("anchor", names(4))
    points = {"c1": Outcome(2, 8), "c2": None, "c3": Outcome(6, 4)}

    def outcome(pairing: Pairing) -> Outcome | None:
        given = points[pairing.second if pairing.first == "c0" else pairing.first]
        return given if given is None or pairing.first == "c0" else Outcome(given.second, given.first)

    play(board, outcome)
    ranking = board.ranking()
    by_name = {standing.contestant: standing for standing in ranking.standings}
    assert ranking.undecided == 1
    assert (by_name["c0"].score, by_name["c0"].comparisons) == (4.0, 2)
    assert by_name["c0"].standard_error == pytest.approx(2.0)
    assert (by_name["c1"].score, by_name["c1"].standard_error) == (8.0, None)
    assert by_name["c2"].score == pytest.approx(16 / 3)
    assert by_name["c2"].comparisons == 0
    assert ranking.ranks == {"c1": 0, "c2": 1, "c0": 2, "c3": 2}


def test_round_robin_counts_wins_before_points() -> None:
    points = {
        frozenset("ab"): {"a": 6, "b": 5},
        frozenset("ac"): {"a": 6, "c": 5},
        frozenset("bc"): {"b": 10, "c": 0},
    }
    board = topology("round-robin", ["a", "b", "c"])

    def outcome(pairing: Pairing) -> Outcome:
        match = points[frozenset(pairing[1:])]
        return Outcome(match[pairing.first], match[pairing.second])

    play(board, outcome)
    standings = board.ranking().standings
    assert [(standing.contestant, standing.score) for standing in standings] == [
        ("a", 1.0),
        ("b", 0.5),
        ("c", 0.0),
    ]
