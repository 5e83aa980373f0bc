"""Closed forms of ArenaRL's rewards and advantages."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.errors import TrainingError
from palaestra.core.ranking import rank_by
from palaestra.training.advantages.rank import (
    expected_rank_rewards,
    posterior_rank_advantages,
    rank_advantages,
    rank_rewards,
    rank_scaled,
    shrunken,
)


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


def test_an_empty_group_is_refused() -> None:
    for function in (rank_rewards, rank_advantages):
        with pytest.raises(TrainingError, match="a group without trajectories"):
            function([])
    with pytest.raises(TrainingError, match="a group without trajectories"):
        posterior_rank_advantages([], [])


SCORES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(SCORES)
def test_without_errors_expected_ranks_are_the_ranks(scores: list[float]) -> None:
    ranks = list(rank_by({str(index): score for index, score in enumerate(scores)}).values())
    certain = expected_rank_rewards(scores, [0.0] * len(scores))
    assert certain.tolist() == pytest.approx(rank_rewards(ranks).tolist(), abs=1e-6)


@given(st.permutations(range(7)))
def test_of_strict_ranks_the_fixed_scale_is_the_deviation(ranks: list[int]) -> None:
    rewards = rank_rewards(ranks)
    fixed = rank_scaled(rewards, torch.zeros(7, dtype=torch.long))
    assert fixed.tolist() == pytest.approx(rank_advantages(ranks).tolist(), abs=1e-4)


@given(SCORES, st.floats(0.01, 10))
def test_doubt_shrinks_advantages_and_keeps_their_order(scores: list[float], error: float) -> None:
    certain = posterior_rank_advantages(scores, [0.0] * len(scores))
    doubtful = posterior_rank_advantages(scores, [error] * len(scores))
    assert doubtful.sum().item() == pytest.approx(0, abs=1e-4)
    lead_GG = certain[:, None] - certain[None, :]
    assert ((doubtful[:, None] - doubtful[None, :])[lead_GG > 0] >= 0).all()
    assert doubtful.norm() <= certain.norm() + 1e-5


def test_two_contestants_in_closed_form() -> None:
    better = (1 + math.erf(3 / math.sqrt(0.5**2 + 2**2) / math.sqrt(2))) / 2
    assert expected_rank_rewards([0.0, 3.0], [0.5, 2.0]).tolist() == pytest.approx([1 - better, better])


def test_scores_shrink_by_their_share_of_the_variance() -> None:
    means, deviations = shrunken([0.0, 3.0], [1.0, 1.0])
    worth = 3**2 / 2 - 1 * (1 + 2 * math.sqrt(2))
    trust = worth / (worth + 1)
    assert means == pytest.approx([1.5 - 1.5 * trust, 1.5 + 1.5 * trust])
    assert deviations == pytest.approx([math.sqrt(trust)] * 2)


def test_a_spread_that_its_errors_explain_pushes_nothing() -> None:
    assert posterior_rank_advantages([0.1, 0.5, 0.3], [0.3, 0.3, 0.3]).tolist() == [0, 0, 0]
    assert posterior_rank_advantages([0.1, 0.5, 0.3], [0.01, 0.01, 0.01]).abs().max() > 0.99


def test_noise_pushes_little_and_skill_pushes_on() -> None:
    """Groups of 16 whose scores are noise of deviation 1 alone, and with skills of deviation 3 beneath."""
    draw = torch.Generator().manual_seed(2)
    sizes = {}
    for skill in (0.0, 3.0):
        scores = skill * torch.randn(200, 16, generator=draw) + torch.randn(200, 16, generator=draw)
        advantages = [posterior_rank_advantages(row.tolist(), [1.0] * 16) for row in scores]
        sizes[skill] = torch.stack(advantages).square().mean().sqrt().item()
    full = rank_advantages(range(16)).square().mean().sqrt().item()
    assert sizes[0.0] < 0.15 * full
    assert sizes[3.0] > 0.85 * full


def test_a_ranking_without_errors_cannot_be_weighed() -> None:
    with pytest.raises(TrainingError, match="no standard errors"):
        posterior_rank_advantages([1.0, 2.0], [0.1, None])
