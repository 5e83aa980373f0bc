"""PPO with a value model (arXiv 1707.06347), as AlpacaFarm (arXiv 2305.14387) runs it on a reward model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field
from torch import Tensor

from palaestra.training.advantages.groups import checked
from palaestra.training.advantages.tokens import (
    at_last_token,
    generalised_advantages,
    scaled,
    standardised,
)
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.kl import k1
from palaestra.training.objectives.policy_gradient import ClipConfig, clipped_surrogate, token_ratio


class PPOConfig(ClipConfig):
    name: Literal["ppo"] = "ppo"
    kl: float = Field(default=0.0067, ge=0)
    """β of the penalty in the reward of each token; 0.002 to 0.02 have been published."""
    discount: float = Field(default=1.0, ge=0, le=1)
    """γ."""
    trace: float = Field(default=1.0, ge=0, le=1)
    """λ of the generalised advantage estimate."""
    value_weight: float = Field(default=0.1, ge=0)
    """What the value model's error weighs beside the policy's loss."""
    value_clip: float = Field(default=0.2, gt=0)
    """How far a value may move from the old one before its error stops to count."""


@dataclass(frozen=True)
class PPO(Objective):
    config: PPOConfig

    @property
    def needs(self) -> Collection[Need]:
        needs: set[Need] = {"old_log_prob_NT", "value_NT"}
        return needs | {"reference_log_prob_NT"} if self.config.kl > 0 else needs

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Token rewards scaled to deviation 1, GAE whitened, returns = advantages + values.

        The KL penalty is one-sided, β·max(log π − log π_ref, 0): biased, but never a bonus.
        """
        reward_NT = at_last_token(checked(batch.given("reward_N")), batch.mask_NT)
        if self.config.kl > 0:
            kl_NT = k1(batch.log_prob_NT, batch.given("reference_log_prob_NT"))
            reward_NT = reward_NT - self.config.kl * kl_NT.clamp(min=0)
        value_NT = batch.given("value_NT")
        advantage_NT = generalised_advantages(
            scaled(reward_NT, batch.mask_NT),
            value_NT,
            batch.mask_NT,
            self.config.discount,
            self.config.trace,
        )
        prepared = replace(
            batch,
            advantage_NT=standardised(advantage_NT, batch.mask_NT),
            old_value_NT=value_NT,
            return_NT=advantage_NT + value_NT,
        )
        return prepared, self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A) + c·½·max((V − R)², (clip(V) − R)²); the mean over all tokens."""
        loss = clipped_surrogate(batch, token_ratio(batch), self.config)
        error_NT = self._value_error(batch)
        return loss.plus(self.config.value_weight * error_NT, value_error=error_NT.detach())

    def _value_error(self, batch: TokenBatch) -> Tensor:
        value_NT, old_NT = batch.given("value_NT"), batch.given("old_value_NT")
        near_NT = old_NT + (value_NT - old_NT).clamp(-self.config.value_clip, self.config.value_clip)
        return_NT = batch.given("return_NT")
        return (value_NT - return_NT).square().maximum((near_NT - return_NT).square()) / 2
