"""The base and a sum of what each expert learned (arXiv 2212.04089)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.merging.base import factors


class TaskArithmeticConfig(Record):
    name: Literal["task-arithmetic"] = "task-arithmetic"
    weights: tuple[float, ...] = ()
    """One for each expert; none makes each 1, a negative one takes a skill away."""


class TaskArithmetic:
    """θ_base + Σ w_j δ_j with δ_j = θ_j - θ_base."""

    def __init__(self, config: TaskArithmeticConfig) -> None:
        self._config = config

    def __call__(self, base_S: Tensor, experts_JS: Tensor) -> Tensor:
        delta_JS = experts_JS - base_S
        return base_S + (factors(self._config.weights, experts_JS) * delta_JS).sum(dim=0)
