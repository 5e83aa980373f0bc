"""LightReasoner (arXiv 2510.07962): learn where an expert and an amateur differ, and in which direction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.models.contrast import contrast
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.divergence import kl

LEAST_PROBABILITY = 1e-12
"""Added to the amateur's, so that no ratio explodes."""


class LightReasonerConfig(Record):
    name: Literal["light-reasoner"] = "light-reasoner"
    least_divergence: float = Field(default=0.4, ge=0)
    """β, nats: tokens are trained on before which KL(expert ‖ amateur) is larger."""


@dataclass(frozen=True)
class LightReasoner(Objective):
    """The policy starts as the expert. The teacher is the contrast; samples come cut down to the tokens
    before which expert and amateur differ (`critical_steps`)."""

    config: LightReasonerConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"teacher_kl_NT"}

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """KL(v_C ‖ π) at each selected token; the mean over them."""
        return TokenLoss(batch.given("teacher_kl_NT"), {"entropy": batch.entropy_NT.detach()})


def contrastive_label(expert_log_prob_V: Tensor, amateur_log_prob_V: Tensor, plausible: float) -> Tensor:
    """log v_C of v_C ∝ π_E / π_A on M = {a : π_E(a) ≥ α·max π_E}; -inf outside of M. Shape (…, V)."""
    return contrast(expert_log_prob_V, _possible(amateur_log_prob_V), plausible).log_softmax(dim=-1)


def expertise(expert_log_prob_V: Tensor, amateur_log_prob_V: Tensor) -> Tensor:
    """KL(π_E ‖ π_A), in nats, over the tokens of both: how much the expert knows better. Shape (…)."""
    known = min(expert_log_prob_V.shape[-1], amateur_log_prob_V.shape[-1])
    return kl(expert_log_prob_V[..., :known], _possible(amateur_log_prob_V[..., :known]))


def _possible(log_prob_V: Tensor) -> Tensor:
    return (log_prob_V.exp() + LEAST_PROBABILITY).log()
