"""SDPO joined with GRPO (arXiv 2601.20802): A = λ·A_GRPO + (1−λ)·A_SDPO, token by token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.advantages.tokens import distillation_advantages
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class SDPOGRPOConfig(ClippedConfig):
    name: Literal["sdpo-grpo"] = "sdpo-grpo"
    advantage: AdvantageName = "group-centred"
    mixture: float = Field(default=0.9, ge=0, le=1)
    """λ, the share of the rewards' advantage; the rest is the self-teacher's."""


@dataclass(frozen=True)
class SDPOGRPO(Clipped):
    """Rows for which there is no feedback have the student as their teacher, whose advantage is 0."""

    config: SDPOGRPOConfig

    @property
    def needs(self) -> Collection[Need]:
        return {*super().needs, "teacher_log_prob_NT"}

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """A_SDPO is log q − log π of the sampled token."""
        batch = batch.with_advantages(self.advantages(batch))
        gain_NT = distillation_advantages(batch.log_prob_NT, batch.given("teacher_log_prob_NT"))
        mixed_NT = self.config.mixture * batch.advantage_NT + (1 - self.config.mixture) * gain_NT
        return replace(batch, advantage_NT=mixed_NT.where(batch.mask_NT, 0)), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A); the mean over all tokens."""
        return clipped_loss(batch, token_ratio(batch), self.config)
