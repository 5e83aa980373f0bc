"""LightReasoner (arXiv 2510.07962): learn where an expert and an amateur differ, and in which direction.

Whoever computes the distributions must take the raw logits at each prefix's last real token: the released
code pads on the right and reads a pad position there, and softmaxes processed scores.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.divergence import kl

LEAST_PROBABILITY = 1e-12
"""Added to the amateur's, so that no ratio explodes."""


class LightReasonerConfig(Record):
    name: Literal["light-reasoner"] = "light-reasoner"
    least_divergence: float = Field(default=0.4, ge=0)
    """β, nats: positions with less KL(expert ‖ amateur) are not trained on."""
    plausible: float = Field(default=0.2, gt=0, le=1)
    """α: only tokens with at least this share of the expert's largest probability are in the label."""


@dataclass(frozen=True)
class LightReasoner(Objective):
    """The policy starts as the expert. The teacher of a batch is the contrast; other positions are masked."""

    config: LightReasonerConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"candidate_log_prob_NTK", "teacher_candidate_log_prob_NTK"}

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """KL(v_C ‖ π) at each selected position; the mean over them."""
        label_NTK = batch.given("teacher_candidate_log_prob_NTK").detach()
        loss_NT = kl(label_NTK, batch.given("candidate_log_prob_NTK"))
        return TokenLoss(loss_NT, {"entropy": batch.entropy_NT.detach()})


class Contrast(NamedTuple):
    keep: Tensor
    """Whether the two differ enough to learn from. Shape (…)."""
    label_log_prob_V: Tensor
    """log v_C; -inf outside of what the expert finds plausible. Shape (…, V)."""
    divergence: Tensor
    """KL(expert ‖ amateur), in nats."""


def contrast(
    expert_log_prob_V: Tensor, amateur_log_prob_V: Tensor, least_divergence: float, plausible: float
) -> Contrast:
    """v_C ∝ π_E / π_A on M = {a : π_E(a) ≥ α·max π_E}, kept where KL(π_E ‖ π_A) > β.

    Vocabularies must be the same.
    """
    amateur_log_prob_V = (amateur_log_prob_V.exp() + LEAST_PROBABILITY).log()
    divergence = kl(expert_log_prob_V, amateur_log_prob_V)
    threshold = expert_log_prob_V.max(dim=-1, keepdim=True).values + torch.tensor(plausible).log()
    ratio_V = (expert_log_prob_V - amateur_log_prob_V).masked_fill(expert_log_prob_V < threshold, -torch.inf)
    return Contrast(divergence > least_divergence, ratio_V.log_softmax(dim=-1), divergence)
