"""Closed forms of ArenaRL's rewards and advantages."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.ranking import rank_by
from palaestra.training.advantages.rank import normalised, rank_advantages, rank_rewards


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (2, [0.7071, -0.7071]),
        (3, [1.0, 0.0, -1.0]),
        (4, [1.1619, 0.3873, -0.3873, -1.1619]),
    ],
)
def test_strict_ranks_give_the_closed_form(group: int, expected: list[float]) -> None:
    assert rank_advantages(range(group)).tolist() == pytest.approx(expected, abs=1e-4)


def test_best_of_sixteen() -> None:
    advantages = rank_advantages(range(16))
    assert advantages[0].item() == pytest.approx(1.575, abs=1e-3)
    assert advantages.sum().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("group", [2, 3, 4, 16, 33])
def test_moments_of_the_rewards_of_strict_ranks(group: int) -> None:
    rewards = rank_rewards(range(group))
    assert rewards.mean().item() == pytest.approx(0.5)
    assert rewards.var(correction=1).item() == pytest.approx(group * (group + 1) / (12 * (group - 1) ** 2))


def test_ties_share_the_mean_of_their_places() -> None:
    assert rank_rewards([0, 1, 1, 3]).tolist() == pytest.approx([1, 0.5, 0.5, 0])


@pytest.mark.parametrize("ranks", [[0], [0, 0], [0, 0, 0, 0]])
def test_a_group_without_an_order_pushes_nothing(ranks: list[int]) -> None:
    assert rank_advantages(ranks).tolist() == [0.0] * len(ranks)


@given(st.lists(st.integers(0, 5), min_size=2, max_size=20))
def test_better_rank_never_has_less_advantage_and_order_does_not_matter(scores: list[int]) -> None:
    ranks = list(rank_by({str(index): score for index, score in enumerate(scores)}).values())
    advantages = rank_advantages(ranks)
    assert math.isclose(advantages.sum().item(), 0, abs_tol=1e-4)
    for score, advantage in zip(scores, advantages.tolist(), strict=True):
        for other, other_advantage in zip(scores, advantages.tolist(), strict=True):
            assert (score > other) <= (advantage > other_advantage)
    assert rank_advantages(ranks[::-1]).flip(0).tolist() == pytest.approx(advantages.tolist(), abs=1e-5)


def test_normalised_uses_the_unbiased_deviation() -> None:
    rewards = torch.tensor([1.0, 2.0, 4.0])
    assert normalised(rewards).tolist() == pytest.approx([-0.8729, -0.2182, 1.0911], abs=1e-4)
