"""SCE merging as mergekit has it: what is not selected stays as in the base."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.merging.sce import calculate, erase, select, weighted_mean


class SCEMergekitConfig(Record):
    name: Literal["sce-mergekit"] = "sce-mergekit"
    density: float = Field(default=1.0, gt=0, le=1)
    """Share of the varying elements of each tensor that is merged."""


class SCEMergekit:
    """Only the selected differences from the base are weighed and merged."""

    def __init__(self, config: SCEMergekitConfig) -> None:
        self._config = config

    def __call__(self, base_S: Tensor, experts_JS: Tensor) -> Tensor:
        delta_JS = experts_JS - base_S
        selected_JS = delta_JS * select(delta_JS, self._config.density)
        return base_S + weighted_mean(selected_JS, calculate(selected_JS) * erase(selected_JS))
