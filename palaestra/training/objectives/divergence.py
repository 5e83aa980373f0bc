"""Divergences between two distributions over the same candidates, in log-probabilities.

Shape suffix: `_K` candidates, the last axis of every argument. A distribution may lack candidates (-inf).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_TAIL = 1e-7
"""Mass that is left over for the tail bucket at least, so that its logarithm has a gradient."""


def with_tail(log_prob_K: Tensor) -> Tensor:
    """The candidates and one bucket more for everything else: log(1 − Σp). Sums to 1; shape (…, K+1)."""
    log_mass = log_prob_K.logsumexp(dim=-1, keepdim=True).clamp(max=-LEAST_TAIL)
    return torch.cat([log_prob_K, (-log_mass.expm1()).log()], dim=-1)


def kl(log_p_K: Tensor, log_q_K: Tensor) -> Tensor:
    """KL(p ‖ q) = Σ p (log p − log q), where 0·log 0 is 0."""
    impossible_K = log_p_K == -math.inf
    term_K = log_p_K.exp() * (log_p_K.masked_fill(impossible_K, 0) - log_q_K)
    return term_K.masked_fill(impossible_K, 0).sum(dim=-1)


def jensen_shannon(log_p_K: Tensor, log_q_K: Tensor, alpha: float) -> Tensor:
    """(1−α)·KL(p ‖ m) + α·KL(q ‖ m) with m = (1−α)·p + α·q and 0 < α < 1.

    It tends to 0, not to a KL, as α goes to 0 or 1.
    """
    log_m_K = torch.logaddexp(log_p_K + math.log1p(-alpha), log_q_K + math.log(alpha))
    return (1 - alpha) * kl(log_p_K, log_m_K) + alpha * kl(log_q_K, log_m_K)
