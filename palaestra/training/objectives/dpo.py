"""DPO (arXiv 2305.18290): preferences without a reward model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.preference import Preference, preference_loss


class DPOConfig(Record):
    name: Literal["dpo"] = "dpo"
    beta: float = Field(default=0.1, gt=0)
    """What holds the policy to the reference: the larger, the more."""


@dataclass(frozen=True)
class DPO(Preference):
    config: DPOConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"reference_log_prob_NT"}

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−log σ(r_w − r_l) with r = β·(log π(y) − log π_ref(y)); the mean over pairs."""
        log_ratio_NT: Tensor = batch.log_prob_NT - batch.given("reference_log_prob_NT")
        reward_N = self.config.beta * log_ratio_NT.where(batch.mask_NT, 0).sum(dim=-1)
        return preference_loss(batch, reward_N)
