"""GRADE (arXiv 2601.11574): soft tokens from a Gumbel-softmax, in the forward pass too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from palaestra.training.objectives.relaxation import (
    Relaxation,
    RelaxationConfig,
    RelaxedToken,
    relaxed_token,
)


class GRADEConfig(RelaxationConfig):
    name: Literal["grade"] = "grade"


@dataclass(frozen=True)
class GRADE(Relaxation):
    config: GRADEConfig

    def relax(self, logits_NV: Tensor, uniform_NV: Tensor, step: int) -> RelaxedToken:
        """A mixture of the k most probable tokens."""
        return relaxed_token(logits_NV, uniform_NV, self.temperature(step), self.config.candidates)
