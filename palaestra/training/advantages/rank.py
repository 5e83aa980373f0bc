"""From ranks to rewards to advantages (ArenaRL, arXiv 2601.06487).

Shape suffix: `_G` the trajectories of one group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPSILON = 1e-6


def rank_rewards(ranks: Sequence[int]) -> Tensor:
    """Rewards in [0, 1]: r = 1 - rank / (G - 1), where tied trajectories share the mean of their places.

    `ranks` are competition ranks (0 is best, ties share the better rank). A group of one gets 0.5, the mean
    reward that every larger group has, ties or not.
    """
    group = len(ranks)
    if group == 1:
        return torch.tensor([0.5])
    places_G = torch.tensor([rank + (ranks.count(rank) - 1) / 2 for rank in ranks])
    return 1 - places_G / (group - 1)


def normalised(reward_G: Tensor) -> Tensor:
    """(r - mean) / (std + 1e-6) with the unbiased standard deviation (ddof 1); zeros when all rewards agree.

    A group of one has no deviation and gets 0.
    """
    if len(reward_G) == 1:
        return torch.zeros_like(reward_G)
    return (reward_G - reward_G.mean()) / (reward_G.std(correction=1) + EPSILON)


def rank_advantages(ranks: Sequence[int]) -> Tensor:
    """One advantage per trajectory, in the order of `ranks`."""
    return normalised(rank_rewards(ranks))
