"""PSR (arXiv 2506.01347): positive sample reinforcement, only what is right is learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class PSRConfig(ClippedConfig):
    name: Literal["psr"] = "psr"
    advantage: AdvantageName = "signed"


@dataclass(frozen=True)
class PSR(Clipped):
    config: PSRConfig

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Drop the wrong rows; a batch without a right one is left without tokens, to be skipped."""
        advantage_N = self.advantages(batch)
        return batch.with_advantages(advantage_N).keeping(advantage_N > 0), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρ, clip(ρ)); the mean over the tokens of right answers."""
        return clipped_loss(batch, token_ratio(batch), self.config)
