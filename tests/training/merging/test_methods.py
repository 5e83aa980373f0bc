"""Merging methods on worked values and by their laws."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from palaestra.core.errors import ConfigError
from palaestra.training.merging.base import Merge
from palaestra.training.merging.linear import Linear, LinearConfig
from palaestra.training.merging.sce import calculate, select
from palaestra.training.merging.sce_fuseai import SCEFuseAI, SCEFuseAIConfig
from palaestra.training.merging.sce_mergekit import SCEMergekit, SCEMergekitConfig
from palaestra.training.merging.task_arithmetic import TaskArithmetic, TaskArithmeticConfig

BASE = torch.tensor([10.0, 20.0, 30.0, 40.0])
DELTAS = torch.tensor([[1.0, -2.0, 3.0, 0.1], [1.0, 4.0, -1.0, 0.2]])
EXPERTS = BASE + DELTAS


def fuseai(density: float) -> Merge:
    return SCEFuseAI(SCEFuseAIConfig(density=density))


def mergekit(density: float) -> Merge:
    return SCEMergekit(SCEMergekitConfig(density=density))


@pytest.mark.parametrize(
    ("method", "moved"),
    [
        (fuseai(1.0), [1, 4, 3, 0.1563]),
        (mergekit(1.0), [1, 4, 3, 0.1563]),
        (fuseai(0.5), [1, 4, 3, 0.18]),
        (mergekit(0.5), [0, 4, 0, 0]),
    ],
)
def test_the_published_variants_of_sce_on_worked_values(method: Merge, moved: list[float]) -> None:
    torch.testing.assert_close(
        method(BASE, EXPERTS) - BASE, torch.tensor(moved, dtype=torch.float32), atol=5e-5, rtol=0
    )


def test_weights_of_worked_values() -> None:
    torch.testing.assert_close(calculate(DELTAS).flatten(), torch.tensor([0.4371, 0.5629]), atol=5e-5, rtol=0)
    masked = DELTAS * select(DELTAS, 0.5)
    torch.testing.assert_close(calculate(masked).flatten(), torch.tensor([0.2, 0.8]))


def test_experts_as_near_to_the_base_as_after_fine_tuning_are_still_weighed() -> None:
    """Their squares sum up to less than 1e-6, where mergekit's own code weighs all alike."""
    torch.testing.assert_close(calculate(DELTAS * 1e-5), calculate(DELTAS))


tensors = st.integers(0, 2**31).map(
    lambda seed: torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
)


@given(tensors, tensors, st.floats(0.05, 0.95))
def test_identical_experts(base: Tensor, expert: Tensor, density: float) -> None:
    same = torch.stack([expert, expert])
    for method in (fuseai(density), fuseai(1.0), mergekit(1.0), Linear(LinearConfig())):
        torch.testing.assert_close(method(base, same), expert)
    torch.testing.assert_close(mergekit(density)(base, same), base)


@given(tensors, tensors, tensors, st.floats(0.05, 1.0))
def test_sce_stays_between_the_base_and_its_experts(
    base: Tensor, one: Tensor, other: Tensor, density: float
) -> None:
    both = torch.stack([one, other])
    low, high = (f(torch.stack([base, one, other]), dim=0) for f in (torch.amin, torch.amax))
    for method in (fuseai(density), mergekit(density)):
        found = method(base, both)
        assert ((low - 1e-5 <= found) & (found <= high + 1e-5)).all()
        torch.testing.assert_close(method(base, both.flip(0)), found)


def test_untouched_parameters_and_single_numbers_stay() -> None:
    for method in (fuseai(0.1), mergekit(0.5), TaskArithmetic(TaskArithmeticConfig())):
        torch.testing.assert_close(method(BASE, torch.stack([BASE, BASE])), BASE)
        assert method(torch.tensor(2.0), torch.tensor([2.0, 2.0])) == 2.0


def test_linear_is_the_weighted_mean() -> None:
    found = Linear(LinearConfig(weights=(1, 3)))(BASE, EXPERTS)
    torch.testing.assert_close(found - BASE, (DELTAS[0] + 3 * DELTAS[1]) / 4)


def test_task_arithmetic_adds_and_takes_away_what_was_learned() -> None:
    found = TaskArithmetic(TaskArithmeticConfig(weights=(1, -0.5)))(BASE, EXPERTS)
    torch.testing.assert_close(found - BASE, DELTAS[0] - 0.5 * DELTAS[1])


def test_there_is_one_weight_for_each_expert() -> None:
    with pytest.raises(ConfigError, match="3 numbers for 2 experts"):
        Linear(LinearConfig(weights=(1, 2, 3)))(BASE, EXPERTS)
