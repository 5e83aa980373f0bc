"""GRPO (DeepSeekMath, arXiv 2402.03300): the group is the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class GRPOConfig(ClippedConfig):
    name: Literal["grpo"] = "grpo"
    kl: float = Field(default=0.04, ge=0)
    """β, the weight of KL(policy ‖ reference) in the loss; 0 needs no reference."""


@dataclass(frozen=True)
class GRPO(Clipped):
    config: GRPOConfig

    @property
    def aggregation(self) -> Aggregation:
        return "sequence-mean"

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A) + β·k3; the mean in each sequence, then over sequences."""
        return clipped_loss(batch, token_ratio(batch), self.config)
