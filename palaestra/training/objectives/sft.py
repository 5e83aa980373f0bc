"""Supervised fine-tuning: the negative log-likelihood of the tokens to imitate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from palaestra.training.objectives.base import TokenBatch, TokenLoss


@dataclass(frozen=True)
class SFT:
    needs: Collection[Literal["old", "reference"]] = ()

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        return TokenLoss(-batch.log_prob_NT, {"entropy": batch.entropy_NT.detach()})
