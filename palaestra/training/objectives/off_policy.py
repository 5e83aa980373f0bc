"""Sampler and trainer do not quite agree on a policy: truncated importance sampling, and how much is left.

μ is what the rollouts were drawn from and π_old the same weights by the trainer's account. The weights say
nothing of the updates since; those are the business of an objective's own ratio.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss


def token_weights(old_log_prob_NT: Tensor, sampler_log_prob_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """π_old / μ of each token; 1 where masked."""
    return (old_log_prob_NT - sampler_log_prob_NT).where(mask_NT, 0).exp()


def sequence_weights(old_log_prob_NT: Tensor, sampler_log_prob_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """π_old / μ of each whole sequence, on all of its tokens: unbiased, of high variance."""
    log_weight_NT = (old_log_prob_NT - sampler_log_prob_NT).where(mask_NT, 0)
    return log_weight_NT.sum(dim=-1, keepdim=True).exp().expand_as(log_weight_NT)


def effective_sample_size(weight_M: Tensor) -> Tensor:
    """(Σw)² / (M·Σw²), in (0, 1]: the share of M samples that as many from the policy itself would be worth.

    1 on-policy, 1/M when one weight is all there is. Over tokens and over sequences it differs: say which.
    """
    return weight_M.sum().square() / (len(weight_M) * weight_M.square().sum())


class OffPolicyConfig(Record):
    level: Literal["token", "sequence"] = "token"
    """Which ratio weighs the loss of a token: its own or that of its whole sequence."""
    cap: float = Field(default=2.0, gt=0)
    """The largest weight. Truncation bounds the variance and biases the gradient."""


_WEIGHTS = {"token": token_weights, "sequence": sequence_weights}


@dataclass(frozen=True)
class OffPolicyCorrected(Objective):
    """Another objective whose token losses are weighed by min(π_old/μ, cap)."""

    objective: Objective
    config: OffPolicyConfig

    @property
    def needs(self) -> Collection[Need]:
        return {*self.objective.needs, "old_log_prob_NT", "sampler_log_prob_NT"}

    @property
    def aggregation(self) -> Aggregation:
        return self.objective.aggregation

    @property
    def rows_together(self) -> int:
        return self.objective.rows_together

    @property
    def is_weighted_by_advantage(self) -> bool:
        return self.objective.is_weighted_by_advantage

    @property
    def prepare_reads_policy(self) -> bool:
        return self.objective.prepare_reads_policy

    @property
    def candidate_count(self) -> int:
        return self.objective.candidate_count

    def stored(self) -> dict[str, Any]:
        return self.objective.stored()

    def restored(self, stored: Mapping[str, Any]) -> Self:
        return replace(self, objective=self.objective.restored(stored))

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        prepared, successor = self.objective.prepare(batch)
        return prepared, replace(self, objective=successor)

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        weight_NT = _WEIGHTS[self.config.level](
            batch.given("old_log_prob_NT"), batch.given("sampler_log_prob_NT"), batch.mask_NT
        )
        loss_NT, metrics = self.objective(batch)
        truncated_NT = weight_NT.clamp(max=self.config.cap)
        return TokenLoss(truncated_NT * loss_NT, {**metrics, "sampler_weight": weight_NT})
