"""SCE merging as FuseAI's code has it: the selection decides about the weights alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.merging.sce import calculate, erase, select, weighted_mean


class SCEFuseAIConfig(Record):
    name: Literal["sce-fuseai"] = "sce-fuseai"
    density: float = Field(default=0.1, gt=0, le=1)
    """Share of the varying elements of each tensor by which experts are weighed; FuseChat 0.1, FuseO1 1."""


class SCEFuseAI:
    """Every difference from the base is merged, weighed by the selected ones."""

    def __init__(self, config: SCEFuseAIConfig) -> None:
        self._config = config

    def __call__(self, base_S: Tensor, experts_JS: Tensor) -> Tensor:
        delta_JS = experts_JS - base_S
        weight_J1 = calculate(delta_JS * select(delta_JS, self._config.density))
        return base_S + weighted_mean(delta_JS, weight_J1 * erase(delta_JS))
