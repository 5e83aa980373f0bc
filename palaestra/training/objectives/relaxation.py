"""What GRADE and GRADE-STE (arXiv 2601.11574) share: relaxed tokens that a reward's gradient goes through."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection

import torch
from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss


class RelaxationConfig(Record):
    candidates: int = Field(default=256, ge=1)
    """k, the most probable tokens that a relaxed token is mixed from; the others are exactly 0."""
    first_temperature: float = Field(default=2.0, gt=0)
    last_temperature: float = Field(default=0.5, gt=0)
    annealing_steps: int = Field(default=2000, ge=1)
    """Optimizer steps over which the temperature goes from the first to the last, linearly."""
    kl: float = Field(default=0.1, ge=0)
    """β, the weight of KL(policy ‖ reference). The released trainer only logs it; here it is in the loss."""


class Relaxation(Objective):
    """Base of the objectives that differentiate a reward through the generation itself."""

    config: RelaxationConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"relaxed_reward_N", "reference_kl_NT"} if self.config.kl > 0 else {"relaxed_reward_N"}

    @property
    def aggregation(self) -> Aggregation:
        return "sequence-mean"

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−R + β·KL; the mean over sequences."""
        reward_NT = batch.given("relaxed_reward_N")[:, None].expand_as(batch.log_prob_NT)
        loss = TokenLoss(-reward_NT, {"reward": reward_NT.detach(), "entropy": batch.entropy_NT.detach()})
        if self.config.kl == 0:
            return loss
        kl_NT = batch.given("reference_kl_NT")
        return loss.plus(self.config.kl * kl_NT, kl_to_reference=kl_NT.detach())

    def temperature(self, step: int) -> float:
        """τ at an optimizer step, counted from 0."""
        first, last = self.config.first_temperature, self.config.last_temperature
        return first + min(step / self.config.annealing_steps, 1.0) * (last - first)

    @abstractmethod
    def relax(self, logits_NV: Tensor, uniform_NV: Tensor, step: int) -> Tensor:
        """The next token as weights over the vocabulary; its input embedding is their product with E."""


def relaxed_token(logits_NV: Tensor, uniform_NV: Tensor, temperature: float, candidates: int) -> Tensor:
    """softmax((ℓ + g)/τ) over the k highest logits, which are chosen before the noise; 0 elsewhere.

    g = −log(−log u) of uniform u, kept away from 0 and 1. argmax(ℓ + g) is drawn from the softmax of the k.
    """
    top_NK, index_NK = logits_NV.topk(min(candidates, logits_NV.shape[-1]), dim=-1)
    margin = torch.finfo(uniform_NV.dtype).eps
    gumbel_NK = -(-uniform_NV.gather(-1, index_NK).clamp(margin, 1 - margin).log()).log()
    soft_NK = ((top_NK + gumbel_NK) / temperature).softmax(dim=-1)
    return torch.zeros_like(logits_NV).scatter(-1, index_NK, soft_NK)


def straight_through(soft_NV: Tensor) -> Tensor:
    """One-hot at the largest entry going forward, the soft token's gradient going back."""
    hard_NV = torch.zeros_like(soft_NV).scatter(-1, soft_NV.argmax(dim=-1, keepdim=True), 1.0)
    return hard_NV + (soft_NV - soft_NV.detach())
