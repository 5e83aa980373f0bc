"""GSPO (arXiv 2507.18071): one ratio for a whole sequence, because the reward is one for a whole sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.training.objectives.aggregation import Aggregation, sequence_mean
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss


class GSPOConfig(ClippedConfig):
    name: Literal["gspo"] = "gspo"
    clip_low: float = Field(default=3e-4, ge=0)
    """Of a length-normalised ratio, which moves far less than that of a token."""
    clip_high: float = Field(default=4e-4, ge=0)


@dataclass(frozen=True)
class GSPO(Clipped):
    config: GSPOConfig

    @property
    def aggregation(self) -> Aggregation:
        return "sequence-mean"

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(sA, clip(s)A), with s = exp(mean of log ρ over the sequence); the mean over sequences."""
        return clipped_loss(batch, sequence_ratio(batch), self.config)


def sequence_ratio(batch: TokenBatch) -> Tensor:
    """s, the geometric mean of the token ratios, on each token of its sequence. Shape (N, T)."""
    log_ratio_NT = batch.log_prob_NT - batch.given("old_log_prob_NT")
    return sequence_mean(log_ratio_NT, batch.mask_NT).exp()[:, None].expand_as(log_ratio_NT)
