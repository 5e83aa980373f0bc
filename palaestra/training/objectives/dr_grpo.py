"""Dr. GRPO (arXiv 2503.20783): GRPO without its two biases, towards short right and long wrong answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class DrGRPOConfig(ClippedConfig):
    name: Literal["dr-grpo"] = "dr-grpo"
    advantage: AdvantageName = "group-centred"
    max_tokens: int = Field(default=1024, ge=1)
    """L_max, the constant that the token sum of every sequence is divided by: the rollouts' token limit."""


@dataclass(frozen=True)
class DrGRPO(Clipped):
    config: DrGRPOConfig

    @property
    def aggregation(self) -> Aggregation:
        return self.config.max_tokens

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A), summed and divided by N·L_max: a constant, so that no length is favoured."""
        return clipped_loss(batch, token_ratio(batch), self.config)
