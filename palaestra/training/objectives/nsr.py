"""NSR (arXiv 2506.01347): negative sample reinforcement, only what is wrong is learnt from.

Mass that a wrong token loses goes to the others in proportion to what they have, so the prior is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class NSRConfig(ClippedConfig):
    name: Literal["nsr"] = "nsr"
    advantage: AdvantageName = "signed"


@dataclass(frozen=True)
class NSR(Clipped):
    config: NSRConfig

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Drop the right rows; a batch without a wrong one is left without tokens, to be skipped."""
        advantage_N = self.advantages(batch)
        return batch.with_advantages(advantage_N).keeping(advantage_N < 0), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(−ρ, −clip(ρ)); the mean over the tokens of wrong answers."""
        return clipped_loss(batch, token_ratio(batch), self.config)
