"""Objectives against their closed forms."""

import math

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import TokenBatch, token_mean
from palaestra.training.objectives.sft import SFT

MASK = torch.tensor([[False, True, True], [False, True, False]])


def batch(
    log_prob: Tensor, old: Tensor, advantage: list[float], reference: Tensor | None = None
) -> TokenBatch:
    return TokenBatch(
        log_prob_NT=log_prob,
        old_log_prob_NT=old,
        reference_log_prob_NT=reference,
        entropy_NT=torch.zeros_like(old),
        advantage_NT=torch.tensor(advantage)[:, None] * MASK,
        mask_NT=MASK,
    )


def test_on_policy_gradient_is_minus_the_advantage_per_token() -> None:
    old = torch.full((2, 3), -1.5)
    log_prob = old.clone().requires_grad_()
    loss, metrics = ArenaRL(ArenaRLConfig())(batch(log_prob, old, [1.0, -0.5]))
    mean = token_mean(loss, MASK, tokens=3)
    mean.backward()
    assert mean.item() == pytest.approx(-(1 + 1 - 0.5) / 3)
    assert log_prob.grad is not None
    expected = torch.tensor([[0, -1 / 3, -1 / 3], [0, 0.5 / 3, 0]])
    torch.testing.assert_close(log_prob.grad, expected)
    assert metrics["clip_fraction"].sum().item() == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "moves"),
    [
        (1.5, 1.0, -1.28, False),  # clipped above: no further push up
        (1.5, -1.0, 1.5, True),  # the pessimistic side stays open
        (0.5, 1.0, -0.5, True),
        (0.5, -1.0, 0.8, False),  # clipped below: no further push down
    ],
)
def test_clipping_stops_the_push_beyond_the_trust_region(
    ratio: float, advantage: float, expected: float, moves: bool
) -> None:
    log_prob = torch.full((2, 3), math.log(ratio), requires_grad=True)
    loss, metrics = ArenaRL(ArenaRLConfig(clip_low=0.2, clip_high=0.28))(
        batch(log_prob, torch.zeros(2, 3), [advantage, advantage])
    )
    loss[MASK].sum().backward()
    assert loss[0, 1].item() == pytest.approx(expected)
    assert log_prob.grad is not None
    assert (log_prob.grad[0, 1].item() != 0) is moves
    assert metrics["clip_fraction"][0, 1].item() == (not moves)


def test_k3_penalty() -> None:
    zeros = torch.zeros(2, 3)
    objective = ArenaRL(ArenaRLConfig(kl=0.1))
    loss, metrics = objective(batch(zeros, zeros, [0.0, 0.0], reference=torch.full((2, 3), 0.5)))
    k3 = math.exp(0.5) - 0.5 - 1
    assert metrics["kl_to_reference"][0, 1].item() == pytest.approx(k3)
    assert loss[0, 1].item() == pytest.approx(0.1 * k3)
    assert set(objective.needs) == {"old", "reference"}


def test_sft_is_the_negative_log_likelihood() -> None:
    log_prob = torch.tensor([[0.0, -1.0, -2.0], [0.0, -3.0, 0.0]])
    loss, _ = SFT()(batch(log_prob, log_prob, [1.0, 1.0]))
    assert token_mean(loss, MASK, tokens=3).item() == pytest.approx(2.0)


def test_token_mean_of_parts_adds_up_to_the_whole() -> None:
    values = torch.tensor([[9.0, 1.0, 2.0], [9.0, 6.0, 9.0]])
    parts = token_mean(values[:1], MASK[:1], tokens=3) + token_mean(values[1:], MASK[1:], tokens=3)
    assert parts.item() == pytest.approx(token_mean(values, MASK, tokens=3).item()) == pytest.approx(3.0)


def test_masked_infinities_do_not_reach_the_mean() -> None:
    values = torch.tensor([[math.inf, 1.0, 2.0], [math.nan, 3.0, math.inf]])
    assert token_mean(values, MASK, tokens=3).item() == pytest.approx(2.0)
