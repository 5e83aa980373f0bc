"""RLPR's rewards and its filter."""

from dataclasses import replace

import pytest
import torch

from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.rlpr import (
    RLPR,
    RLPRConfig,
    debiased,
    probability_reward,
    with_format,
)

ANSWERS = torch.tensor([[0.01, 0.7, 0.9], [0.05, 0.7, 0.9]], dtype=torch.float64)


def test_the_mean_of_probabilities_is_not_ruled_by_one_rare_token() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    mean = probability_reward(ANSWERS.log(), mask)
    assert mean.tolist() == pytest.approx([0.5367, 0.55], abs=1e-4)
    assert ANSWERS.prod(dim=1).tolist() == pytest.approx([0.0063, 0.0315])
    assert (mean[1] / mean[0]).item() == pytest.approx(1.025, abs=1e-3)


def test_only_the_reference_counts_and_an_empty_one_is_worth_nothing() -> None:
    mask = torch.tensor([[False, True, True], [False, False, False]])
    assert probability_reward(ANSWERS.log(), mask).tolist() == pytest.approx([0.8, 0.0])


def test_debiasing() -> None:
    reward = torch.tensor([0.5, 0.2, 0.9])
    assert debiased(reward, reward).tolist() == [0, 0, 0], "without reasoning there is nothing to reward"
    assert debiased(reward, torch.tensor([0.3, 0.4, 0.0])).tolist() == pytest.approx([0.2, 0.0, 0.9])
    assert with_format(reward, torch.tensor([True, False, True])).tolist() == pytest.approx(
        [0.55, 0.18, 0.91]
    )


def test_prompts_of_little_spread_are_dropped_once_the_average_is_known(whole_batch: TokenBatch) -> None:
    """Deviations of the three groups: 0.707, 0.354 and 0.0707, on average 0.377."""
    rewards = torch.tensor([1.0, 0.0, 0.7, 0.2, 0.9, 0.8], dtype=torch.float64)
    batch = replace(whole_batch, reward_N=rewards)
    objective = RLPR(RLPRConfig(filter_share=0.5, decay=0.99, average_from=2, filter_from=3))
    kept, averages = [], []
    for _ in range(3):
        prepared, objective = objective.prepare(batch)
        kept.append(prepared.mask_NT.any(dim=-1).tolist())
        averages.append(objective.state.deviation)
    assert kept == [[True] * 6, [True] * 6, [True, True, True, True, False, False]]
    assert averages[0] is None
    assert averages[1] == pytest.approx((0.5 + 0.25 + 0.05) * 2**0.5 / 3)
    quiet = replace(batch, reward_N=0.1 * rewards)
    nothing, objective = objective.prepare(quiet)
    assert not nothing.mask_NT.any(), "all of them deviate less, and the average has seen it"
    assert averages[2] is not None
    assert objective.state.deviation == pytest.approx(averages[2] * (0.99 + 0.01 * 0.1))


def test_a_group_without_spread_has_no_advantage(whole_batch: TokenBatch) -> None:
    rewards = torch.tensor([0.3, 0.3, 0.3, 0.3 + 1e-7, 0.3, 0.4], dtype=torch.float64)
    prepared, _ = RLPR(RLPRConfig()).prepare(replace(whole_batch, reward_N=rewards))
    assert (prepared.advantage_NT[:4] == 0).all()
    assert (prepared.advantage_NT[4:, 2] != 0).all()
