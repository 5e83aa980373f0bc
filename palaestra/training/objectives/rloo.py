"""RLOO (arXiv 2402.14740): REINFORCE whose baseline is the mean of the other samples of the prompt."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.kl import k1
from palaestra.training.objectives.policy_gradient import PolicyGradient, PolicyGradientConfig


class RLOOConfig(PolicyGradientConfig):
    name: Literal["rloo"] = "rloo"
    advantage: AdvantageName = "leave-one-out"
    kl: float = Field(default=0.05, ge=0)
    """β, the weight of KL(policy ‖ reference) in the reward; 0 needs no reference."""


@dataclass(frozen=True)
class RLOO(PolicyGradient):
    config: RLOOConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"reference_log_prob_NT"} if self.config.kl > 0 else set()

    @property
    def aggregation(self) -> Aggregation:
        return 1

    @property
    def prepare_reads_policy(self) -> bool:
        return self.config.kl > 0

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Rewards less β·Σ k1 over the sequence, then the baseline."""
        if self.config.kl == 0:
            return super().prepare(batch)
        kl_NT = k1(batch.log_prob_NT, batch.given("reference_log_prob_NT")).where(batch.mask_NT, 0)
        reward_N = batch.given("reward_N") - self.config.kl * kl_NT.sum(dim=-1)
        return super().prepare(replace(batch, reward_N=reward_N))

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−A·log π(y), summed over the sequence; the mean over sequences."""
        return TokenLoss(-batch.advantage_NT * batch.log_prob_NT, {"entropy": batch.entropy_NT.detach()})
