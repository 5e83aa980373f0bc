"""GRADE-STE (arXiv 2601.11574): hard tokens going forward, the relaxed ones' gradient going back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from palaestra.training.objectives.relaxation import (
    Relaxation,
    RelaxationConfig,
    RelaxedToken,
    relaxed_token,
    straight_through,
)


class GRADESTEConfig(RelaxationConfig):
    name: Literal["grade-ste"] = "grade-ste"


@dataclass(frozen=True)
class GRADESTE(Relaxation):
    config: GRADESTEConfig

    def relax(self, logits_NV: Tensor, uniform_NV: Tensor, step: int) -> RelaxedToken:
        """The most probable token after the noise, with the mixture's gradient."""
        soft = relaxed_token(logits_NV, uniform_NV, self.temperature(step), self.config.candidates)
        return straight_through(soft)
