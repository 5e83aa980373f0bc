"""ArenaRL (arXiv 2601.06487): PPO's clipped surrogate on rank advantages, with a KL penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class ArenaRLConfig(ClippedConfig):
    """Of rank rewards. The paper has the KL term, its released recipes set it to 0."""

    name: Literal["arena-rl"] = "arena-rl"
    clip_high: float = Field(default=0.28, ge=0)


@dataclass(frozen=True)
class ArenaRL(Clipped):
    config: ArenaRLConfig

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A) + β·KL, with ρ = π/π_old of each token; the mean over all tokens."""
        return clipped_loss(batch, token_ratio(batch), self.config)
