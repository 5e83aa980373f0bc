"""On-policy distillation (Thinking Machines, 2025): the student samples, a teacher scores the same tokens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field

from palaestra.core.record import Record
from palaestra.training.advantages.tokens import discounted_sum, distillation_advantages
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.kl import k1


class OnPolicyDistillationConfig(Record):
    name: Literal["on-policy-distillation"] = "on-policy-distillation"
    weight: float = Field(default=1.0, ge=0)
    """c, what the teacher's opinion weighs beside advantages of the environment."""
    discount: float = Field(default=0.0, ge=0, le=1)
    """Of the later tokens' terms in a token's advantage; 0 leaves its own alone."""


@dataclass(frozen=True)
class OnPolicyDistillation(Objective):
    """Student and teacher must share tokenizer and chat template, and the student is sampled at temperature 1
    without truncation; otherwise the terms are no estimate of the KL."""

    config: OnPolicyDistillationConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"sampler_log_prob_NT", "teacher_log_prob_NT"}

    @property
    def is_weighted_by_advantage(self) -> bool:
        return True

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Add c·(log π_teacher − log π_sampler) of each token to the advantages that are there."""
        gain_NT = distillation_advantages(
            batch.given("sampler_log_prob_NT"), batch.given("teacher_log_prob_NT")
        )
        gain_NT = self.config.weight * discounted_sum(gain_NT, batch.mask_NT, self.config.discount)
        return replace(batch, advantage_NT=batch.advantage_NT + gain_NT), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−(π/μ)·A without a clip, where μ is the sampler; the mean over all tokens."""
        sampler_log_prob_NT = batch.given("sampler_log_prob_NT")
        ratio_NT = (batch.log_prob_NT - sampler_log_prob_NT).where(batch.mask_NT, 0).exp()
        gap_NT = k1(batch.log_prob_NT.detach(), batch.given("teacher_log_prob_NT"))
        metrics = {"ratio": ratio_NT.detach(), "entropy": batch.entropy_NT.detach(), "kl_to_teacher": gap_NT}
        return TokenLoss(-ratio_NT * batch.advantage_NT, metrics)
