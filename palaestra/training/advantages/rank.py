"""From ranks to rewards to advantages (ArenaRL, arXiv 2601.06487).

Shape suffix: `_G` the trajectories of one group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from palaestra.core.errors import TrainingError
from palaestra.training.advantages.groups import group_size
from palaestra.training.advantages.rewards import group_centred, group_standardised


def rank_rewards(ranks: Sequence[int]) -> Tensor:
    """Rewards in [0, 1]: r = 1 - rank / (G - 1), where tied trajectories share the mean of their places.

    `ranks` are competition ranks (0 is best, ties share the better rank). A group of one gets 0.5, the mean
    reward that every larger group has, ties or not.

    Raises:
        TrainingError: the group is empty.
    """
    group = len(ranks)
    if group == 0:
        raise TrainingError("a group without trajectories has no ranks; leave it out of the batch")
    if group == 1:
        return torch.tensor([0.5])
    places_G = torch.tensor([rank + (ranks.count(rank) - 1) / 2 for rank in ranks])
    return 1 - places_G / (group - 1)


def rank_advantages(ranks: Sequence[int]) -> Tensor:
    """(r - mean) / (std + 1e-6), ddof 1: one advantage per trajectory, in the order of `ranks`."""
    reward_G = rank_rewards(ranks)
    return group_standardised(reward_G, torch.zeros(len(ranks), dtype=torch.long))


def expected_rank_rewards(means: Sequence[float], deviations: Sequence[float]) -> Tensor:
    """Rank rewards with every rank replaced by its posterior expectation (Laird and Louis, 1989).

    `means` and `deviations` are those of independent normal posteriors of the trajectories' worths. An
    opponent is beaten with the probability of being better, and the reward is the mean over the opponents.
    Without doubt these are the rank rewards, ties included; in full doubt all are ½.

    Raises:
        TrainingError: the group is empty.
    """
    group = len(means)
    if group < 2:
        return rank_rewards(range(group))
    mean_G = torch.tensor(means, dtype=torch.float64)
    variance_G = torch.tensor(deviations, dtype=torch.float64).square()
    lead_GG = mean_G[:, None] - mean_G[None, :]
    doubt_GG = (variance_G[:, None] + variance_G[None, :]).sqrt()
    beats_GG: Tensor = torch.special.ndtr(torch.where(lead_GG == 0, 0.0, lead_GG / doubt_GG))
    return ((beats_GG.sum(dim=1) - 0.5) / (group - 1)).float()


def shrunken(scores: Sequence[float], standard_errors: Sequence[float]) -> tuple[list[float], list[float]]:
    """Posterior means and deviations of worths that were measured with normal errors, by empirical Bayes.

    The variance of the worths is what var(scores) has beyond mean(error²) and two standard errors of such a
    variance, 2√(2/(G−1)) of it. Where it has no more, all worths are the same, without doubt: of groups of
    pure noise only about one in twenty keeps any order.
    """
    score_G = torch.tensor(scores, dtype=torch.float64)
    variance_G = torch.tensor(standard_errors, dtype=torch.float64).square()
    noise = variance_G.mean() * (1 + 2 * math.sqrt(2 / (len(scores) - 1)))
    worth = (score_G.var(correction=1) - noise).clamp(min=0)
    trust_G = (worth / (worth + variance_G)).nan_to_num(0)
    mean_G = score_G.mean() + trust_G * (score_G - score_G.mean())
    return mean_G.tolist(), (trust_G * variance_G).sqrt().tolist()


def rank_scaled(reward_N: Tensor, group_N: Tensor) -> Tensor:
    """(r − mean of the group) / σ, where σ is what the rank rewards of a group of G without ties have.

    σ² = G(G+1) / (12 (G−1)²), ddof 1. On such ranks it is the same as standardising by the group's own
    deviation. On expected ranks it keeps what that would undo: a group that the judge could hardly tell apart
    pushes hardly at all.
    """
    size_N = group_size(group_N).to(reward_N.dtype)
    deviation_N = (size_N * (size_N + 1) / 12).sqrt() / (size_N - 1).clamp(min=1)
    return group_centred(reward_N, group_N) / deviation_N


def posterior_rank_advantages(scores: Sequence[float], standard_errors: Sequence[float | None]) -> Tensor:
    """ArenaRL's advantages, shrunk by the ranking's own standard errors: noise pushes nothing.

    For scores that are means of what was measured. Where a topology ranks by posterior means already, their
    `expected_rank_rewards` are scaled by `rank_scaled` without shrinking once more.

    Raises:
        TrainingError: the group is empty, or a standard error is not known.
    """
    errors = [error for error in standard_errors if error is not None and math.isfinite(error)]
    if len(errors) < len(scores):
        raise TrainingError(
            "the ranking has no standard errors to weigh it by; take a topology that estimates them"
        )
    means, deviations = shrunken(scores, errors) if len(scores) > 1 else (scores, errors)
    reward_G = expected_rank_rewards(means, deviations)
    return rank_scaled(reward_G, torch.zeros(len(scores), dtype=torch.long))
