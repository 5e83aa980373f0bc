"""SDPO (arXiv 2601.20802): the policy, told how to do better, re-scores its own tokens and teaches itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss
from palaestra.training.objectives.divergence import jensen_shannon, kl, with_tail
from palaestra.training.objectives.policy_gradient import token_ratio

Divergence = Literal["reverse", "forward", "jensen-shannon"]
"""reverse: KL(student ‖ teacher). forward: KL(teacher ‖ student). Names, because the released α (1, 0 or
in between for these) is not continuous at its ends."""


class SDPOConfig(Record):
    name: Literal["sdpo"] = "sdpo"
    divergence: Divergence = "jensen-shannon"
    alpha: float = Field(default=0.5, gt=0, lt=1)
    """The teacher's share in the mixture of jensen-shannon; the others do not read it."""
    candidates: int = Field(default=100, ge=1)
    """The student's k most probable tokens; all others share one tail bucket."""
    cap: float = Field(default=2.0, gt=0)
    """The largest weight π/π_old of a token."""


@dataclass(frozen=True)
class SDPO(Objective):
    """Rows for which there is no feedback come dropped."""

    config: SDPOConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"old_log_prob_NT", "candidate_log_prob_NTK", "teacher_candidate_log_prob_NTK"}

    @property
    def candidate_count(self) -> int:
        return self.config.candidates

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """sg(min(π/π_old, cap)) · D(student, sg(teacher)) at each token; the mean over all tokens."""
        student_NTK = with_tail(batch.given("candidate_log_prob_NTK"))
        teacher_NTK = with_tail(batch.given("teacher_candidate_log_prob_NTK").detach())
        divergence_NT = _DIVERGENCES[self.config.divergence](student_NTK, teacher_NTK, self.config.alpha)
        weight_NT = token_ratio(batch).detach().clamp(max=self.config.cap)
        metrics = {"divergence": divergence_NT.detach(), "entropy": batch.entropy_NT.detach()}
        return TokenLoss(weight_NT * divergence_NT, metrics)


_DIVERGENCES: Mapping[Divergence, Callable[[Tensor, Tensor, float], Tensor]] = {
    "reverse": lambda student, teacher, alpha: kl(student, teacher),
    "forward": lambda student, teacher, alpha: kl(teacher, student),
    "jensen-shannon": jensen_shannon,
}
