"""What GRADE and GRADE-STE (arXiv 2601.11574) share: relaxed tokens that a reward's gradient goes through."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag

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


class RelaxedToken(NamedTuple):
    """Mixtures of the k most probable tokens each, of which alone anything is kept: `_K` is the last axis."""

    index_K: Tensor
    weight_K: Tensor
    """Adds up to 1, or is 0 throughout where there is no token; carries the gradient."""

    @property
    def ids(self) -> Tensor:
        """The heaviest of each; of a straight-through token the one that went forward."""
        return self.index_K.gather(-1, self.weight_K.argmax(dim=-1, keepdim=True)).squeeze(-1)

    def mixed(self, table_VE: Tensor) -> Tensor:
        """The mixture of the rows of a table over the vocabulary; of input embeddings, what a model reads in
        place of embedded ids. Shape (…, E)."""
        candidates = self.index_K.shape[-1]
        rows = embedding_bag(  # never holds the rows of all candidates apart
            self.index_K.reshape(-1, candidates),
            table_VE,
            per_sample_weights=self.weight_K.reshape(-1, candidates).to(table_VE.dtype),
            mode="sum",
        )
        return rows.view(*self.index_K.shape[:-1], -1)


class Relaxation(Objective):
    """Base of the objectives that differentiate a reward through the generation itself.

    The generation is made by `relaxed_rollouts`, the steps are taken by a `RelaxedUpdater`.
    """

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
        loss = TokenLoss(-reward_NT, {"entropy": batch.entropy_NT.detach()})
        if self.config.kl == 0:
            return loss
        kl_NT = batch.given("reference_kl_NT")
        return loss.plus(self.config.kl * kl_NT, kl_to_reference=kl_NT.detach())

    def temperature(self, step: int) -> float:
        """τ at an optimizer step, counted from 0."""
        first, last = self.config.first_temperature, self.config.last_temperature
        return first + min(step / self.config.annealing_steps, 1.0) * (last - first)

    @abstractmethod
    def relax(self, logits_NV: Tensor, uniform_NV: Tensor, step: int) -> RelaxedToken:
        """The next token, of logits and of noise that is uniform in [0, 1]."""


def relaxed_token(logits_NV: Tensor, uniform_NV: Tensor, temperature: float, candidates: int) -> RelaxedToken:
    """softmax((ℓ + g)/τ) over the k highest logits, which are chosen before the noise.

    g = −log(−log u) of uniform u, kept away from 0 and 1. argmax(ℓ + g) is drawn from the softmax of the k.
    """
    top_NK, index_NK = logits_NV.topk(min(candidates, logits_NV.shape[-1]), dim=-1)
    margin = torch.finfo(uniform_NV.dtype).eps
    gumbel_NK = -(-uniform_NV.gather(-1, index_NK).clamp(margin, 1 - margin).log()).log()
    return RelaxedToken(index_NK, ((top_NK + gumbel_NK) / temperature).softmax(dim=-1))


def straight_through(soft: RelaxedToken) -> RelaxedToken:
    """One-hot at the largest weight going forward, the soft token's gradient going back."""
    soft_NK = soft.weight_K
    hard_NK = torch.zeros_like(soft_NK).scatter(-1, soft_NK.argmax(dim=-1, keepdim=True), 1.0)
    return soft._replace(weight_K=hard_NK + (soft_NK - soft_NK.detach()))
