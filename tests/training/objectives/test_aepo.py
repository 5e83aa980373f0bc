"""AEPO's controller and the static masks before it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from palaestra.training.objectives.aepo import AEPO, AEPOConfig, AEPOState, batch_entropy
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.entropy_masked import EntropyMasked, EntropyMaskedConfig

Make = Callable[..., TokenBatch]
LOW, MIDDLE, HIGH = 0.1, 0.2, 0.3


def with_entropy(batch: TokenBatch, nats: float) -> TokenBatch:
    return replace(batch, entropy_NT=nats * batch.mask_NT.to(torch.float64))


def test_the_controller_has_hysteresis(whole_batch: TokenBatch) -> None:
    objective = AEPO(AEPOConfig())
    decisions = []
    for nats in (LOW, MIDDLE, HIGH, MIDDLE, LOW):
        prepared, objective = objective.prepare(with_entropy(whole_batch, nats))
        decisions.append(objective.state.use_negatives)
        assert bool((prepared.advantage_NT < 0).any()) is objective.state.use_negatives
        assert torch.equal(prepared.mask_NT, whole_batch.mask_NT), "masked rows stay in the denominator"
    assert decisions == [True, True, False, False, True]


def test_above_the_band_no_negative_advantage_has_a_gradient(whole_batch: TokenBatch) -> None:
    prepared, _ = AEPO(AEPOConfig()).prepare(with_entropy(whole_batch, HIGH))
    worse_N = torch.tensor([False, True, False, True, False, True])
    log_prob = prepared.log_prob_NT.clone().requires_grad_()
    AEPO(AEPOConfig())(replace(prepared, log_prob_NT=log_prob)).loss_NT.sum().backward()
    assert log_prob.grad is not None
    assert (log_prob.grad[worse_N] == 0).all()
    assert (log_prob.grad[~worse_N][prepared.mask_NT[~worse_N]] < 0).all()


def test_it_goes_on_where_a_stored_state_left_off(whole_batch: TokenBatch) -> None:
    _, objective = AEPO(AEPOConfig()).prepare(with_entropy(whole_batch, HIGH))
    resumed = AEPO(AEPOConfig()).restored(objective.stored())
    assert resumed.prepare(with_entropy(whole_batch, MIDDLE))[1].state == AEPOState(use_negatives=False)


def test_the_entropy_of_a_batch_is_a_mean_of_means(make: Make) -> None:
    entropy = torch.tensor([[9.0, 1.0, 2.0, 3.0], [9.0, 4.0, 9.0, 9.0]])
    batch = make(entropy, entropy_NT=entropy)
    assert batch_entropy(batch.entropy_NT, batch.mask_NT) == pytest.approx((2 + 4) / 2)


def test_token_mask(whole_batch: TokenBatch) -> None:
    config = EntropyMaskedConfig(level="token", threshold=1.0)
    prepared, _ = EntropyMasked(config).prepare(whole_batch)
    masked = whole_batch.mask_NT & (prepared.advantage_NT == 0)
    worse = torch.tensor([[False], [True], [False], [True], [False], [True]])
    assert torch.equal(masked, whole_batch.mask_NT & worse & (whole_batch.entropy_NT > 1.0))
    assert masked.any()


def test_sequence_mask(whole_batch: TokenBatch) -> None:
    entropy = torch.tensor([2.0, 2.0, 2.0, 0.5, 2.0, 2.0], dtype=torch.float64)[:, None] * whole_batch.mask_NT
    config = EntropyMaskedConfig(level="sequence", threshold=1.0)
    prepared, _ = EntropyMasked(config).prepare(replace(whole_batch, entropy_NT=entropy))
    trained = (prepared.advantage_NT != 0).any(dim=-1)
    assert trained.tolist() == [True, False, True, True, True, False]
