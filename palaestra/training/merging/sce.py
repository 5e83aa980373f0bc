"""The steps of SCE merging (FuseChat, arXiv 2408.07990): select, calculate, erase.

They are put together in two ways, as FuseAI's code does and as mergekit does. Weights are equal only where
there is nothing to go by; mergekit makes them equal wherever differences are as small as fine-tuning's.
"""

from __future__ import annotations

import torch
from torch import Tensor


def select(delta_JS: Tensor, density: float) -> Tensor:
    """1 on the elements in which the experts vary most, 0 on the others. Shape (*S).

    Their number is the share `density` of those in which the experts vary at all (population variance),
    rounded down; with density 1 it is every element.
    """
    variance_S = delta_JS.var(dim=0, correction=0)
    if density == 1:
        return torch.ones_like(variance_S)
    count = int(density * int(variance_S.count_nonzero()))
    chosen = variance_S.flatten().topk(count).indices
    return torch.zeros_like(variance_S).flatten().index_fill(0, chosen, 1.0).view_as(variance_S)


def calculate(delta_JS: Tensor) -> Tensor:
    """The weight of each expert: its share of the mean squares. Shape (J, 1, …), sum 1."""
    square_J = delta_JS.reshape(len(delta_JS), -1).square().mean(dim=1)
    total = square_J.sum()
    weight_J = square_J / total if total > 0 else torch.full_like(square_J, 1 / len(square_J))
    return weight_J.view(-1, *[1] * (delta_JS.dim() - 1))


def erase(delta_JS: Tensor) -> Tensor:
    """1 where a difference has the sign of the sum over experts, 0 elsewhere and where it is 0."""
    majority_S = torch.where(delta_JS.sum(dim=0) >= 0, 1.0, -1.0)
    return (delta_JS * majority_S > 0).float()


def weighted_mean(delta_JS: Tensor, weight_JS: Tensor) -> Tensor:
    """0 where no weight is left. Shape (*S)."""
    total_S = weight_JS.sum(dim=0)
    return torch.where(total_S > 0, (weight_JS * delta_JS).sum(dim=0) / total_S.where(total_S > 0, 1), 0.0)
