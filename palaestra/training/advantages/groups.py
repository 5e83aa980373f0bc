"""Statistics of rewards within groups.

Shape suffix: `_N` rollouts. `group_N` holds one integer for each rollout, equal for those of one group;
groups may differ in size and their members may stand anywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from palaestra.core.errors import TrainingError

EPSILON = 1e-6
"""Added to standard deviations."""


def checked(reward_N: Tensor) -> Tensor:
    """The rewards, if they can be learnt from.

    Raises:
        TrainingError: there is none, or one is NaN or infinite.
    """
    if len(reward_N) == 0:
        raise TrainingError("there are no rewards to make advantages of; look at why no rollout was kept")
    bad = (~reward_N.isfinite()).nonzero().flatten().tolist()
    if bad:
        raise TrainingError(
            f"the reward of rollout {bad[0]} is {reward_N[bad[0]].item()} ({len(bad)} of {len(reward_N)} are "
            "not finite); a rollout that could not be scored must be left out, not scored"
        )
    return reward_N


def group_size(group_N: Tensor) -> Tensor:
    """For each rollout, how many its group has."""
    _, index_N, size_P = group_N.unique(return_inverse=True, return_counts=True)
    size_N: Tensor = size_P[index_N]
    return size_N


def group_mean(value_N: Tensor, group_N: Tensor) -> Tensor:
    """For each rollout, the mean over its group."""
    _, index_N, size_P = group_N.unique(return_inverse=True, return_counts=True)
    sum_P = torch.zeros_like(size_P, dtype=value_N.dtype).index_add(0, index_N, value_N)
    mean_P: Tensor = sum_P / size_P
    return mean_P[index_N]


def group_std(value_N: Tensor, group_N: Tensor) -> Tensor:
    """For each rollout, the unbiased standard deviation (ddof 1) of its group; 0 for a group of one."""
    square_N = (value_N - group_mean(value_N, group_N)).square()
    size_N = group_size(group_N)
    return (group_mean(square_N, group_N) * size_N / (size_N - 1).clamp(min=1)).sqrt()


def is_uniform(value_N: Tensor, group_N: Tensor) -> Tensor:
    """For each rollout, whether all values of its group agree, so that none is better than another."""
    _, index_N = group_N.unique(return_inverse=True)
    highest_N = value_N.scatter_reduce(0, index_N, value_N, "amax", include_self=False)[index_N]
    lowest_N = value_N.scatter_reduce(0, index_N, value_N, "amin", include_self=False)[index_N]
    return highest_N == lowest_N
