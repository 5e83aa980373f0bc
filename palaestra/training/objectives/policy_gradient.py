"""What objectives have in common that learn from rewards: advantages, and PPO's clipped surrogate."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

import torch
from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.advantages.registry import AdvantageName, advantages
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.entropy import EntropyConfig, with_entropy_bonus
from palaestra.training.objectives.kl import KLConfig, with_kl


class PolicyGradientConfig(Record):
    """Base of the settings of objectives that learn from rewards."""

    advantage: AdvantageName = "group-standardised"
    """How the rewards of a batch become advantages."""


class PolicyGradient(Objective):
    """Base of the objectives that weigh log-probabilities by advantages."""

    config: PolicyGradientConfig

    @property
    def is_weighted_by_advantage(self) -> bool:
        return True

    @property
    def prepare_reads_policy(self) -> bool:
        return type(self).prepare is not PolicyGradient.prepare

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        return batch.with_advantages(self.advantages(batch)), self

    def advantages(self, batch: TokenBatch) -> Tensor:
        """By the configured rule, one for each rollout."""
        return advantages(
            self.config.advantage, batch.given("reward_N"), batch.given("group_N"), batch.given("family_N")
        )


class ClipConfig(Record):
    clip_low: float = Field(default=0.2, ge=0)
    """The ratio is clipped to [1 - clip_low, 1 + clip_high]."""
    clip_high: float = Field(default=0.2, ge=0)

    dual_clip: float | None = Field(default=None, gt=1)
    """With a negative advantage a token's loss is at most so many times its size (arXiv 1912.09729); 3 is
    usual. null: it grows with the ratio."""


class ClippedConfig(PolicyGradientConfig, ClipConfig, KLConfig, EntropyConfig):
    """Base of the settings of objectives with PPO's clip."""


class Clipped(PolicyGradient):
    """Base of the objectives with a clipped ratio to the old policy, maybe a KL term and an entropy bonus."""

    config: ClippedConfig

    @property
    def needs(self) -> Collection[Need]:
        needs: set[Need] = {"old_log_prob_NT"}
        if self.config.kl > 0:
            needs.add("reference_log_prob_NT")
        if self.config.entropy_bonus > 0:
            needs.add("live_entropy_NT")
        return needs

    @property
    def is_weighted_by_advantage(self) -> bool:
        return self.config.kl == self.config.entropy_bonus == 0


def token_ratio(batch: TokenBatch) -> Tensor:
    """ρ = π / π_old of each token; 1 where masked."""
    return (batch.log_prob_NT - batch.given("old_log_prob_NT")).where(batch.mask_NT, 0).exp()


def clipped_surrogate(batch: TokenBatch, ratio_NT: Tensor, config: ClipConfig) -> TokenLoss:
    """−min(ρA, clip(ρ)A): no push beyond the trust region, in either direction (PPO, arXiv 1707.06347)."""
    surrogate_NT = ratio_NT * batch.advantage_NT
    clipped_NT = ratio_NT.clamp(1 - config.clip_low, 1 + config.clip_high) * batch.advantage_NT
    metrics = {
        "ratio": ratio_NT.detach(),
        "clip_fraction": (clipped_NT < surrogate_NT).to(ratio_NT.dtype),
        "entropy": batch.entropy_NT.detach(),
    }
    least_NT = surrogate_NT.minimum(clipped_NT)
    if config.dual_clip is not None:
        bound_NT = (config.dual_clip * batch.advantage_NT).where(batch.advantage_NT < 0, -torch.inf)
        metrics["dual_clip_fraction"] = (least_NT < bound_NT).to(ratio_NT.dtype)
        least_NT = least_NT.maximum(bound_NT)
    return TokenLoss(-least_NT, metrics)


def clipped_loss(batch: TokenBatch, ratio_NT: Tensor, config: ClippedConfig) -> TokenLoss:
    """−min(ρA, clip(ρ)A) + β·KL(policy ‖ reference) − c·H(policy)."""
    loss = with_kl(clipped_surrogate(batch, ratio_NT, config), batch, config)
    return with_entropy_bonus(loss, batch, config)
