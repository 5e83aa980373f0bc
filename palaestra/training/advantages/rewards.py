"""From the rewards of a batch to one advantage for each rollout.

Shape suffix: `_N` rollouts. `group_N` tells which rollouts answer the same prompt and `family_N` which are of
one task family. A group without a spread, a group of one included, has nothing to compare: its advantages are
exactly 0, but for the rules without a baseline. Rewards that are not finite are a TrainingError.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palaestra.training.advantages.groups import (
    EPSILON,
    checked,
    group_mean,
    group_size,
    group_std,
    is_uniform,
)


def group_centred(reward_N: Tensor, group_N: Tensor) -> Tensor:
    """r − mean of the group (Dr. GRPO, arXiv 2503.20783)."""
    checked(reward_N)
    return (reward_N - group_mean(reward_N, group_N)).masked_fill(is_uniform(reward_N, group_N), 0)


def group_standardised(reward_N: Tensor, group_N: Tensor) -> Tensor:
    """(r − mean) / (std + 1e-6) within the group, ddof 1 (GRPO, arXiv 2402.03300; ArenaRL of ranks)."""
    return group_centred(reward_N, group_N) / (group_std(reward_N, group_N) + EPSILON)


def leave_one_out(reward_N: Tensor, group_N: Tensor) -> Tensor:
    """r − mean of the others in the group = G/(G−1) · (r − mean) (RLOO, arXiv 2402.14740)."""
    size_N = group_size(group_N)
    return group_centred(reward_N, group_N) * size_N / (size_N - 1).clamp(min=1)


def batch_standardised(reward_N: Tensor) -> Tensor:
    """(r − mean) / (std + 1e-6) over the whole batch, ddof 1 (the sequence level of REINFORCE++)."""
    return group_standardised(reward_N, torch.zeros_like(reward_N, dtype=torch.long))


def task_standardised(reward_N: Tensor, group_N: Tensor, family_N: Tensor) -> Tensor:
    """(r − mean of the group) / (std of the task family in the batch + 1e-6), ddof 1.

    QwenLong-L1.5 (arXiv 2512.12967): noisy families do not drown the others, and the deviation is that of
    many rollouts instead of a handful.
    """
    return group_centred(reward_N, group_N) / (group_std(reward_N, family_N) + EPSILON)


def signed(reward_N: Tensor) -> Tensor:
    """+1 for a reward above ½, else −1: no baseline, no normalisation (arXiv 2506.01347).

    To be used without group normalisation, which would turn a batch of one sign into zeros.
    """
    return 2 * correct(reward_N) - 1


def correct(reward_N: Tensor) -> Tensor:
    """1 for a reward above ½, else 0: imitate what is right ("1–0" in RL's Razor, arXiv 2509.04259)."""
    return (checked(reward_N) > 0.5).to(reward_N.dtype)
