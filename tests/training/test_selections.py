"""Which rollouts are trained on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.divergence import kl
from palaestra.training.selections import (
    SELECTIONS,
    all_pairs,
    best,
    best_and_worst,
    correct,
    distinct_correct,
    oracle,
)

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


def test_what_is_correct_is_kept() -> None:
    assert correct([1.0, 0.0, 0.5, 0.9]) == [0, 3]
    assert correct([0.0, 0.0]) == []


def test_each_different_correct_answer_is_kept_once() -> None:
    answers = ["3+4 = 7", "7", "3+4  =\n7", "8", "4+3 = 7"]
    assert distinct_correct(answers, [1, 1, 1, 0, 1]) == [0, 1, 4]


def test_the_oracle_is_the_nearest_of_all_that_never_err() -> None:
    prob = torch.tensor([0.5, 0.2, 0.2, 0.1], dtype=torch.float64)
    found = oracle(prob, torch.tensor([False, True, False, True]))
    assert found.tolist() == pytest.approx([0, 2 / 3, 0, 1 / 3])
    assert (
        kl(found.log(), prob.log()).item() == pytest.approx(-math.log(0.3)) == pytest.approx(1.204, abs=1e-3)
    )
    for share in (0.1, 0.5, 0.9):
        other = torch.tensor([0, share, 0, 1 - share], dtype=torch.float64)
        assert kl(other.log(), prob.log()) > kl(found.log(), prob.log())


def test_an_oracle_needs_some_probability_on_what_is_right() -> None:
    with pytest.raises(TrainingError, match="there is no oracle"):
        oracle(torch.tensor([1.0, 0.0]), torch.tensor([False, True]))


def test_the_best_of_n() -> None:
    assert best([0.3]) == 0, "the best of one is a plain sample"
    assert best([0.1, 0.9, 0.9]) == 1
    with pytest.raises(TrainingError, match="score every sample first"):
        best([])
    with pytest.raises(TrainingError, match="score every sample first"):
        best([0.5, math.nan])
