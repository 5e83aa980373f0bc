"""Pairs: DPO, SimPO and the Bradley-Terry loss."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.dpo import DPO, DPOConfig
from palaestra.training.objectives.preference import bradley_terry
from palaestra.training.objectives.simpo import SimPO, SimPOConfig

Make = Callable[..., TokenBatch]
LOG_PROB = torch.tensor([[9.0, -1.0, -2.0, -3.0], [9.0, -4.0, 9.0, 9.0]], dtype=torch.float64)
"""Of a preferred answer with sum -6 and mean -2, and another with -4."""


def total(objective: DPO | SimPO, batch: TokenBatch) -> float:
    loss = objective(batch).loss_NT
    return aggregate(loss, batch.mask_NT, objective.aggregation, Totals.of(batch.mask_NT)).item()


def test_equal_rewards_cost_log_two() -> None:
    assert bradley_terry(torch.tensor(1.3), torch.tensor(1.3)).item() == pytest.approx(math.log(2))


def test_dpo(make: Make) -> None:
    reference = torch.tensor([[0.0, -1.5, -2.0, -3.5], [0.0, -3.0, 0.0, 0.0]], dtype=torch.float64)
    batch = make(LOG_PROB, reference_log_prob_NT=reference)
    margin = 0.1 * ((-6 + 7) - (-4 + 3))
    assert total(DPO(DPOConfig(beta=0.1)), batch) == pytest.approx(math.log1p(math.exp(-margin)))
    _, metrics = DPO(DPOConfig(beta=0.1))(batch)
    assert metrics["margin"][0, 0].item() == pytest.approx(margin)
    assert metrics["accuracy"].tolist() == torch.ones(2, 4).tolist()


def test_dpo_starts_at_log_two(make: Make) -> None:
    batch = make(LOG_PROB, reference_log_prob_NT=LOG_PROB)
    assert total(DPO(DPOConfig()), batch) == pytest.approx(math.log(2))


def test_simpo_compares_means_with_a_margin(make: Make) -> None:
    expected = -logsigmoid(torch.tensor(2.0 * (-2 + 4) - 1.5)).item()
    assert total(SimPO(SimPOConfig(beta=2.0, margin=1.5)), make(LOG_PROB)) == pytest.approx(expected)


def test_rows_that_are_no_pairs_are_refused(make: Make) -> None:
    batch = make(LOG_PROB)
    odd = replace(batch, log_prob_NT=LOG_PROB[:1], mask_NT=batch.mask_NT[:1], entropy_NT=LOG_PROB[:1])
    with pytest.raises(TrainingError, match="1 rows are no pairs"):
        SimPO(SimPOConfig())(odd)
