"""What a merging method is: a pure function of one tensor at a time.

Shape suffixes: `_J` experts, `_S` the shape of the parameter, of any rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from palaestra.core.errors import ConfigError


class Merge(Protocol):
    def __call__(self, base_S: Tensor, experts_JS: Tensor) -> Tensor:
        """The merged parameter; everything is float32.

        Raises:
            ConfigError: the settings do not fit so many experts.
        """
        ...


def factors(weights: Sequence[float], experts_JS: Tensor) -> Tensor:
    """`weights` in a shape that multiplies experts; without any, each is 1.

    Raises:
        ConfigError: there is not one for each expert.
    """
    experts = len(experts_JS)
    if weights and len(weights) != experts:
        raise ConfigError(
            f"method.weights has {len(weights)} numbers for {experts} experts; give one for each"
        )
    return torch.tensor(weights or [1.0] * experts).view(-1, *[1] * (experts_JS.dim() - 1))
