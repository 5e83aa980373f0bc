"""W-REINFORCE (arXiv 2506.01347): NSR with a little PSR, λ·L_PSR + L_NSR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class WReinforceConfig(ClippedConfig):
    name: Literal["w-reinforce"] = "w-reinforce"
    advantage: AdvantageName = "signed"
    positive_weight: float = Field(default=0.1, ge=0)
    """λ, what a right answer weighs; a wrong one weighs 1. 1 is REINFORCE with ±1."""


@dataclass(frozen=True)
class WReinforce(Clipped):
    config: WReinforceConfig

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """+λ on right rows, −1 on wrong ones; all stay in the denominator."""
        advantage_N = self.advantages(batch)
        weighted_N = advantage_N.where(advantage_N < 0, self.config.positive_weight * advantage_N)
        return batch.with_advantages(weighted_N), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A); the mean over all tokens."""
        return clipped_loss(batch, token_ratio(batch), self.config)
