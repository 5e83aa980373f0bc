"""ArenaRL (arXiv 2601.06487): PPO's clipped surrogate on rank advantages, with a KL penalty."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.core.record import Record
from palaestra.training.objectives.base import TokenBatch, TokenLoss


class ArenaRLConfig(Record):
    clip_low: float = Field(default=0.2, ge=0)
    """The ratio is clipped to [1 - clip_low, 1 + clip_high]."""
    clip_high: float = Field(default=0.28, ge=0)
    kl: float = Field(default=0.0, ge=0)
    """β, the weight of KL(policy ‖ reference). The paper has the term, its released recipes set it to 0."""


@dataclass(frozen=True)
class ArenaRL:
    config: ArenaRLConfig

    @property
    def needs(self) -> Collection[Literal["old", "reference"]]:
        return {"old", "reference"} if self.config.kl > 0 else {"old"}

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A) + β·k3, with ρ = π/π_old and k3 = exp(q − p) − (q − p) − 1 for reference q."""
        assert batch.old_log_prob_NT is not None
        ratio_NT = (batch.log_prob_NT - batch.old_log_prob_NT).exp()
        clipped_NT = ratio_NT.clamp(1 - self.config.clip_low, 1 + self.config.clip_high)
        surrogate_NT = ratio_NT * batch.advantage_NT
        clipped_surrogate_NT = clipped_NT * batch.advantage_NT
        loss_NT = -surrogate_NT.minimum(clipped_surrogate_NT)
        metrics = {
            "ratio": ratio_NT.detach(),
            "clip_fraction": (clipped_surrogate_NT < surrogate_NT).float(),
            "entropy": batch.entropy_NT.detach(),
        }
        if batch.reference_log_prob_NT is not None:
            gap_NT = batch.reference_log_prob_NT - batch.log_prob_NT
            k3_NT = gap_NT.exp() - gap_NT - 1
            loss_NT = loss_NT + self.config.kl * k3_NT
            metrics["kl_to_reference"] = k3_NT.detach()
        return TokenLoss(loss_NT, metrics)
