"""REINFORCE++ (arXiv 2501.03262): PPO without a value model, whitened over the tokens of the whole batch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.advantages.tokens import at_last_token, discounted_sum, standardised
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.kl import k1
from palaestra.training.objectives.policy_gradient import (
    ClipConfig,
    PolicyGradient,
    PolicyGradientConfig,
    clipped_surrogate,
    token_ratio,
)


class ReinforcePlusPlusConfig(PolicyGradientConfig, ClipConfig):
    name: Literal["reinforce++"] = "reinforce++"
    advantage: AdvantageName = "reward"
    """`group-centred` makes it the paper's variant with a baseline."""
    kl: float = Field(default=0.01, ge=0)
    """β, the weight of the k1 penalty in the reward of each token; 0 needs no reference."""


@dataclass(frozen=True)
class ReinforcePlusPlus(PolicyGradient):
    config: ReinforcePlusPlusConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"old_log_prob_NT", "reference_log_prob_NT"} if self.config.kl > 0 else {"old_log_prob_NT"}

    @property
    def prepare_reads_policy(self) -> bool:
        return self.config.kl > 0

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """The undiscounted return of reward − β·k1 at each token, whitened over all tokens of the batch."""
        reward_NT = at_last_token(self.advantages(batch), batch.mask_NT)
        if self.config.kl > 0:
            kl_NT = k1(batch.log_prob_NT, batch.given("reference_log_prob_NT"))
            reward_NT = reward_NT - self.config.kl * kl_NT
        return_NT = discounted_sum(reward_NT, batch.mask_NT, discount=1)
        return replace(batch, advantage_NT=standardised(return_NT, batch.mask_NT)), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A); the mean over all tokens."""
        return clipped_surrogate(batch, token_ratio(batch), self.config)
