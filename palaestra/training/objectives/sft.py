"""Supervised fine-tuning: the negative log-likelihood of the tokens to imitate.

What is imitated makes the method: see `selection`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from palaestra.core.record import Record
from palaestra.training.objectives.base import Objective, TokenBatch, TokenLoss


class SFTConfig(Record):
    name: Literal["sft"] = "sft"


@dataclass(frozen=True)
class SFT(Objective):
    config: SFTConfig = field(default_factory=SFTConfig)

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−log π; the mean over all tokens."""
        return TokenLoss(-batch.log_prob_NT, {"entropy": batch.entropy_NT.detach()})
