"""Rewards and advantages of single tokens.

Shape suffixes: `_N` rollouts, `_T` tokens. Only tokens where `mask_NT` is True were generated; the others, a
tool's output between two turns included, have no reward, take no time and come out as 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

STABILISER = 1e-8
"""Added to variances."""


def at_last_token(reward_N: Tensor, mask_NT: Tensor) -> Tensor:
    """Each rollout's reward on its last generated token. Shape (N, T)."""
    is_last_NT = mask_NT & (mask_NT.flip(-1).cumsum(dim=-1).flip(-1) == 1)
    return reward_N[:, None].where(is_last_NT, 0)


def discounted_sum(value_NT: Tensor, mask_NT: Tensor, discount: float) -> Tensor:
    """Σ over the token itself and the later ones of value · discount^distance; with discount 1 the return."""
    value_NT = value_NT.where(mask_NT, 0)
    if discount == 1:
        return value_NT.flip(-1).cumsum(dim=-1).flip(-1).where(mask_NT, 0)
    sums, later_N = [], value_NT.new_zeros(len(value_NT))
    for value_N, mask_N in zip(value_NT.T.flip(0), mask_NT.T.flip(0), strict=True):
        later_N = torch.where(mask_N, value_N + discount * later_N, later_N)
        sums.append(later_N)
    return torch.stack(sums[::-1], dim=-1).where(mask_NT, 0)


def generalised_advantages(
    reward_NT: Tensor, value_NT: Tensor, mask_NT: Tensor, discount: float, trace: float
) -> Tensor:
    """GAE (arXiv 1506.02438): Σ (γλ)^l δ with δ = r + γ·V(next generated token) − V; the last has no next.

    With discount γ = 1 and trace λ = 1 it is the return minus the value.
    """
    next_value_NT = _next_generated(value_NT, mask_NT)
    error_NT = reward_NT + discount * next_value_NT - value_NT
    return discounted_sum(error_NT, mask_NT, discount * trace)


def standardised(value_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """(x − mean) / √(var + 1e-8) over all generated tokens of the batch, ddof 0."""
    value_M = value_NT[mask_NT]
    variance = value_M.var(correction=0) if len(value_M) else value_NT.new_zeros(())
    deviation = (variance + STABILISER).sqrt()
    return ((value_NT - value_M.sum() / max(len(value_M), 1)) / deviation).where(mask_NT, 0)


def scaled(value_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """Standardised, then shifted back to the mean it had."""
    mean = value_NT[mask_NT].sum() / max(int(mask_NT.sum()), 1)
    return (standardised(value_NT, mask_NT) + mean).where(mask_NT, 0)


def distillation_advantages(student_log_prob_NT: Tensor, teacher_log_prob_NT: Tensor) -> Tensor:
    """log π_teacher − log π_student of the sampled token: positive where the teacher likes it better.

    One term of −KL(student ‖ teacher) for each token (on-policy distillation, SDPO).
    """
    return teacher_log_prob_NT - student_log_prob_NT


def _next_generated(value_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """At each token, the value at the next generated one; 0 where there is none."""
    width = value_NT.shape[-1]
    place_T = torch.arange(width, device=value_NT.device)
    own_or_later_NT = place_T.expand_as(mask_NT).where(mask_NT, width).flip(-1).cummin(dim=-1).values.flip(-1)
    next_NT = torch.nn.functional.pad(own_or_later_NT[:, 1:], (0, 1), value=width)
    return torch.nn.functional.pad(value_NT, (0, 1)).gather(-1, next_NT)
