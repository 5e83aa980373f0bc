"""Stale rollouts and samplers that differ from the trainer."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.dpo import DPO, DPOConfig
from palaestra.training.objectives.off_policy import (
    OffPolicyConfig,
    OffPolicyCorrected,
    effective_sample_size,
    sequence_weights,
    token_weights,
)
from palaestra.training.objectives.pipeline_rl import PipelineRL, PipelineRLConfig
from palaestra.training.objectives.reinforce import Reinforce, ReinforceConfig


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1.0] * 7, 1.0), ([0.0, 0.0, 5.0, 0.0], 1 / 4), ([2.0, 1.0, 1.0, 0.0], 2 / 3)],
)
def test_effective_sample_size(weights: list[float], expected: float) -> None:
    assert effective_sample_size(torch.tensor(weights)).item() == pytest.approx(expected)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=20), st.floats(0.01, 100))
def test_effective_sample_size_is_a_share_and_has_no_unit(weights: list[float], scale: float) -> None:
    weight_M = torch.tensor(weights, dtype=torch.float64)
    size = effective_sample_size(weight_M).item()
    assert 1 / len(weights) - 1e-9 <= size <= 1 + 1e-9
    assert effective_sample_size(scale * weight_M).item() == pytest.approx(size)


def test_weights_of_tokens_and_of_sequences() -> None:
    mask = torch.tensor([[False, True, True], [False, True, False]])
    old = torch.tensor([[0.0, -1.0, -1.0], [0.0, -2.0, 0.0]])
    sampler = torch.tensor([[9.0, -1.5, -1.2], [9.0, -1.0, math.inf]])
    tokens = token_weights(old, sampler, mask)
    assert tokens[mask].tolist() == pytest.approx([math.exp(0.5), math.exp(0.2), math.exp(-1)])
    assert (tokens[~mask] == 1).all()
    assert sequence_weights(old, sampler, mask)[:, 0].tolist() == pytest.approx([math.exp(0.7), math.exp(-1)])


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_correction_weighs_the_loss_of_any_objective(whole_batch: TokenBatch, level: str) -> None:
    inner = ArenaRL(ArenaRLConfig())
    objective = OffPolicyCorrected(inner, OffPolicyConfig.model_validate({"level": level, "cap": 1.05}))
    prepared, successor = objective.prepare(whole_batch)
    assert successor == objective
    weights = {"token": token_weights, "sequence": sequence_weights}[level](
        prepared.given("old_log_prob_NT"), prepared.given("sampler_log_prob_NT"), prepared.mask_NT
    )
    assert (weights > 1.05).any()
    assert (weights < 1).any()
    expected = weights.clamp(max=1.05) * inner(prepared).loss_NT
    torch.testing.assert_close(objective(prepared).loss_NT, expected)
    agreeing = replace(prepared, sampler_log_prob_NT=prepared.old_log_prob_NT)
    torch.testing.assert_close(objective(agreeing).loss_NT, inner(agreeing).loss_NT)


def test_a_correction_keeps_pairs_together_and_adds_as_its_objective_does() -> None:
    objective = OffPolicyCorrected(DPO(DPOConfig()), OffPolicyConfig())
    assert (objective.rows_together, objective.aggregation) == (2, "sequence-mean")
    assert objective.needs == {"reference_log_prob_NT", "old_log_prob_NT", "sampler_log_prob_NT"}


def test_on_policy_pipeline_rl_is_reinforce(whole_batch: TokenBatch) -> None:
    batch = replace(whole_batch, sampler_log_prob_NT=whole_batch.log_prob_NT).with_advantages(
        torch.linspace(-1, 1, 6, dtype=torch.float64)
    )
    found = PipelineRL(PipelineRLConfig())(batch)
    torch.testing.assert_close(found.loss_NT, Reinforce(ReinforceConfig())(batch).loss_NT)
    assert effective_sample_size(found.metrics["weight"][batch.mask_NT]).item() == pytest.approx(1)


def test_pipeline_rl_truncates_its_weights_and_takes_them_as_constants(whole_batch: TokenBatch) -> None:
    far = (whole_batch.log_prob_NT - 2.0).where(whole_batch.mask_NT, 0)
    batch = replace(whole_batch, sampler_log_prob_NT=far).with_advantages(torch.ones(6, dtype=torch.float64))
    log_prob = batch.log_prob_NT.clone().requires_grad_()
    loss, _ = PipelineRL(PipelineRLConfig(cap=5.0))(replace(batch, log_prob_NT=log_prob))
    loss.sum().backward()
    torch.testing.assert_close(log_prob.grad, -5.0 * batch.mask_NT.to(torch.float64))  # e² > 5
