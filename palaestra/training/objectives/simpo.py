"""SimPO (arXiv 2405.14734): preferences without a reference, by mean log-probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.core.record import Record
from palaestra.training.objectives.aggregation import sequence_mean
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.preference import Preference, preference_loss


class SimPOConfig(Record):
    name: Literal["simpo"] = "simpo"
    beta: float = Field(default=2.0, gt=0)
    """The scale of the rewards."""
    margin: float = Field(default=1.0, ge=0)
    """γ, by how much the preferred answer is to lead."""


@dataclass(frozen=True)
class SimPO(Preference):
    config: SimPOConfig

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−log σ(r_w − r_l − γ) with r = β·log π(y)/|y|; the mean over pairs."""
        reward_N = self.config.beta * sequence_mean(batch.log_prob_NT, batch.mask_NT)
        return preference_loss(batch, reward_N, self.config.margin)
