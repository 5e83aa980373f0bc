from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from palaestra.training.objectives.base import TokenBatch

MASK = torch.tensor(
    [
        [False, True, True, True, True, True],
        [False, True, True, False, False, False],
        [False, True, True, False, True, False],  # a tool's output between two turns
        [False, True, True, True, True, False],
        [False, False, True, False, False, False],
        [False, True, True, True, False, False],
    ]
)


@pytest.fixture
def whole_batch() -> TokenBatch:
    """Six rollouts of three tasks in double precision, with everything that any objective may read."""
    draw = torch.Generator().manual_seed(5)
    shape = MASK.shape

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw, dtype=torch.float64)

    def log_probs() -> Tensor:
        return (-1.5 + 0.2 * normal(*shape)) * MASK

    old = log_probs()
    return TokenBatch(
        log_prob_NT=old,
        entropy_NT=normal(*shape).abs() * MASK,
        advantage_NT=torch.zeros(shape, dtype=torch.float64),
        mask_NT=MASK,
        old_log_prob_NT=old,
        live_entropy_NT=normal(*shape).abs() * MASK,
        sampler_log_prob_NT=(old + 0.1 * normal(*shape)) * MASK,
        reference_log_prob_NT=log_probs(),
        reference_kl_NT=normal(*shape).square() * MASK,
        teacher_log_prob_NT=log_probs(),
        candidate_log_prob_NTK=normal(*shape, 5).log_softmax(dim=-1)[..., :3],
        teacher_candidate_log_prob_NTK=normal(*shape, 5).log_softmax(dim=-1)[..., :3],
        teacher_kl_NT=normal(*shape).square() * MASK,
        value_NT=normal(*shape) * MASK,
        relaxed_reward_N=normal(len(MASK)),
        reward_N=torch.tensor([1.0, 0.0, 0.7, 0.2, 0.9, 0.1], dtype=torch.float64),
        group_N=torch.tensor([0, 0, 1, 1, 2, 2]),
        family_N=torch.tensor([0, 0, 0, 0, 1, 1]),
    )


@pytest.fixture
def make() -> Callable[..., TokenBatch]:
    """A batch of two rows with three and one tokens, of the given quantities and otherwise zeros."""

    def batch(log_prob_NT: Tensor, **given: Any) -> TokenBatch:
        zeros = torch.zeros_like(log_prob_NT)
        mask = torch.tensor([[False, True, True, True], [False, True, False, False]])
        defaults = {"entropy_NT": zeros, "advantage_NT": zeros, "mask_NT": mask}
        return TokenBatch(log_prob_NT=log_prob_NT, **{**defaults, **given})

    return batch
