"""Which rollouts are trained on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import TrainingError
from palaestra.training.selections import SELECTIONS, all_pairs, best_and_worst

ANSWERS = ["a", "b", "a ", "c", "d"]
REWARDS = [0.9, 0.2, 0.8, 0.7, 0.2]


def test_each_selection_keeps_what_it_says() -> None:
    kept = {name: select(ANSWERS, REWARDS) for name, select in SELECTIONS.items()}
    assert kept == {
        "all": [0, 1, 2, 3, 4],
        "correct": [0, 2, 3],
        "distinct-correct": [0, 3],
        "best": [0],
        "best-and-worst": [0, 1],
        "all-pairs": [0, 1, 0, 2, 0, 3, 0, 4, 2, 1, 3, 1, 2, 3, 2, 4, 3, 4],
    }


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=6))
def test_pairs_put_the_better_answer_first_and_leave_ties_out(rewards: list[float]) -> None:
    for places in (all_pairs(rewards), best_and_worst(rewards)):
        pairs = list(zip(places[::2], places[1::2], strict=True))
        assert all(rewards[better] > rewards[worse] for better, worse in pairs)
    unequal = sum(one != other for n, one in enumerate(rewards) for other in rewards[:n])
    assert len(all_pairs(rewards)) == 2 * unequal


def test_a_reward_that_is_none_is_an_error() -> None:
    with pytest.raises(TrainingError, match="score every sample first"):
        SELECTIONS["best-and-worst"](ANSWERS[:2], [0.1, math.nan])
