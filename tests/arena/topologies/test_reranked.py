from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.oneshot import OneshotConfig
from palaestra.arena.topologies.registry import (
    topology,
)
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from tests.arena.topologies.boards import (
    CLASSICAL,
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
    topology_named,
)


@law
@given(st.sampled_from(CLASSICAL), st.integers(min_value=2, max_value=12), seeds)
def test_reranking_asks_nothing_more_and_ranks_by_the_posterior(name: str, count: int, luck: int) -> None:
    plain, reranked = topology_named(name), topology_named(name, rerank="posterior")
    boards = [topology(each, names(count), luck) for each in (plain, reranked)]
    calls = [play(board, noisy(luck, failures=0.1)) for board in boards]
    assert calls[0] == calls[1]
    before, after = (board.ranking() for board in boards)
    assert before.undecided == after.undecided
    assert sum(standing.score for standing in after.standings) == pytest.approx(0, abs=1e-6)
    scores = [standing.score for standing in after.standings]
    assert all(one >= other for one, other in pairwise(scores))
    if sum(standing.comparisons for standing in after.standings):
        assert all(standing.standard_error for standing in after.standings)


def test_more_comparisons_make_surer() -> None:
    strengths = by_strength({"a": 6.0, "b": 5.0, "c": 4.0})
    errors = []
    for budget in (2, 6):
        board = topology(OneshotConfig(budget=budget), list("abc"))
        play(board, strengths)
        errors.append(max(standing.standard_error or 0 for standing in board.ranking().standings))
    assert errors[1] < errors[0]


def test_a_reranked_round_robin_is_configured_by_a_mapping() -> None:
    assert topology_named("round-robin", rerank="posterior") == RoundRobinConfig(rerank="posterior")
