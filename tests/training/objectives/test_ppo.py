"""PPO with a value model, and Quark."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.ppo import PPO, PPOConfig
from palaestra.training.objectives.quark import Quark, QuarkConfig, in_best_bin

Make = Callable[..., TokenBatch]


@pytest.fixture
def valued(make: Make) -> TokenBatch:
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    return make(
        zeros,
        old_log_prob_NT=zeros,
        reference_log_prob_NT=torch.tensor([[0.0, 1.0, -2.0, 0.0], [0.0, -1.0, 0.0, 0.0]]).double(),
        value_NT=torch.tensor([[0.0, 0.5, 0.25, 1.0], [0.0, -1.0, 0.0, 0.0]]).double(),
        reward_N=torch.tensor([2.0, -1.0]).double(),
    )


def test_returns_and_advantages(valued: TokenBatch) -> None:
    """The KL of the first row is -1, 2 and 0: what is negative is no bonus."""
    prepared, _ = PPO(PPOConfig(kl=0.1)).prepare(valued)
    mask = valued.mask_NT
    reward = torch.tensor([0.0, -0.2, 2.0, -1.1]).double()
    scaled = (reward - reward.mean()) / reward.std(correction=0) + reward.mean()
    returns = torch.stack([scaled[0] + scaled[1] + scaled[2], scaled[1] + scaled[2], scaled[2], scaled[3]])
    torch.testing.assert_close(prepared.given("return_NT")[mask], returns)
    advantage = returns - valued.given("value_NT")[mask]
    whitened = (advantage - advantage.mean()) / advantage.std(correction=0)
    torch.testing.assert_close(prepared.advantage_NT[mask], whitened)
    assert prepared.old_value_NT is valued.value_NT


def test_the_value_error_is_the_worse_of_free_and_clipped(valued: TokenBatch) -> None:
    prepared, _ = PPO(PPOConfig()).prepare(valued)
    returns = torch.zeros(2, 4, dtype=torch.float64)
    moved = replace(prepared, value_NT=valued.given("value_NT") - 0.5, return_NT=returns)
    objective = PPO(PPOConfig(value_weight=0.1, value_clip=0.2))
    error = objective(moved).metrics["value_error"]
    assert error[0, 1].item() == pytest.approx(0.3**2 / 2)  # 0.5 may move to 0.3 and is said to be 0
    assert error[0, 2].item() == pytest.approx(0.25**2 / 2)  # -0.25 is farther off than 0.05
    still = objective(prepared).loss_NT - 0.1 * objective(prepared).metrics["value_error"]
    torch.testing.assert_close(still, -prepared.advantage_NT)


@pytest.mark.parametrize(("count", "kept"), [(1, 1), (4, 1), (6, 2), (8, 2), (9, 3)])
def test_the_best_quarter(count: int, kept: int) -> None:
    best = in_best_bin(torch.arange(count).float(), 4)
    assert best.tolist() == [False] * (count - kept) + [True] * kept


def test_quark_imitates_the_best_and_stays_near_the_reference(whole_batch: TokenBatch) -> None:
    prepared, _ = Quark(QuarkConfig(bins=3, kl=0.05)).prepare(whole_batch)
    assert prepared.mask_NT.any(dim=-1).tolist() == [True, False, False, False, True, False]
    loss, _ = Quark(QuarkConfig(bins=3, kl=0.05))(prepared)
    expected = -whole_batch.log_prob_NT[0, 2] + 0.05 * whole_batch.given("reference_kl_NT")[0, 2]
    assert loss[0, 2].item() == pytest.approx(expected.item())
