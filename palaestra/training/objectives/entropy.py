"""An entropy bonus: the loss is lower where the policy spreads its probability."""

from __future__ import annotations

from pydantic import Field

from palaestra.core.record import Record
from palaestra.training.objectives.base import TokenBatch, TokenLoss


class EntropyConfig(Record):
    """Base of the settings of objectives with an entropy bonus in their loss."""

    entropy_bonus: float = Field(default=0.0, ge=0)
    """The weight of the policy's entropy, which is taken off the loss; 1e-4 in the paper of PSR and NSR."""


def with_entropy_bonus(loss: TokenLoss, batch: TokenBatch, config: EntropyConfig) -> TokenLoss:
    """loss − c·H(π) for each token."""
    if config.entropy_bonus == 0:
        return loss
    return loss.plus(-config.entropy_bonus * batch.given("live_entropy_NT"))
