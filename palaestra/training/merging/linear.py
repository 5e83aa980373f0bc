"""The weighted mean of the experts, as in model soups (arXiv 2203.05482)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.merging.base import factors


class LinearConfig(Record):
    name: Literal["linear"] = "linear"
    weights: tuple[float, ...] = ()
    """One for each expert, of any sum but 0; none weighs all alike."""


class Linear:
    """Σ w_j θ_j / Σ w_j. The base does not enter; name it among the experts to count it in."""

    def __init__(self, config: LinearConfig) -> None:
        self._config = config

    def __call__(self, base_S: Tensor, experts_JS: Tensor) -> Tensor:
        weight_J1 = factors(self._config.weights, experts_JS)
        return (weight_J1 * experts_JS).sum(dim=0) / weight_J1.sum()
