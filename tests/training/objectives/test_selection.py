"""Which samples are imitated."""

import math

import pytest
import torch

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.divergence import kl
from palaestra.training.objectives.selection import (
    Imitation,
    Labelled,
    best,
    conditioned,
    correct,
    distinct_correct,
    oracle,
    preferred,
)

PAIRS = [Labelled("p: ", ("good", "bad"), winner=0), Labelled("q: ", ("poor", "fine"), winner=1)]


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


def test_labelled_pairs_are_imitated_in_two_ways() -> None:
    assert preferred(PAIRS) == [Imitation("p: ", "good"), Imitation("q: ", "fine")]
    assert conditioned(PAIRS, positive="<+>", negative="<->") == [
        Imitation("<+>p: ", "good"),
        Imitation("<->p: ", "bad"),
        Imitation("<->q: ", "poor"),
        Imitation("<+>q: ", "fine"),
    ]
