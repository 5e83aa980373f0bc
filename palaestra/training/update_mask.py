"""Which weights an update may move: by the singular directions and the magnitudes of the start weights.

After "The Path Not Taken" (arXiv 2511.08567): reinforcement learning moves what is off the principal
directions, where weights are small; training only there loses little, training only the principal ones much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import PreTrainedModel

from palaestra.core.record import Record, derive_seed

Part = Literal["principal", "low-magnitude", "not-principal", "not-low-magnitude"]


class UpdateMaskConfig(Record):
    """Of the weights of linear layers, each matrix by itself; embeddings, output head, norms and biases move
    freely."""

    parts: tuple[Part, ...] = Field(min_length=1)
    """Weights that are in any of these may move."""
    rank: int = Field(default=32, ge=1)
    """k: principal weights are the largest of the best approximation of this rank."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """α: principal and low-magnitude weights are this share of a matrix each."""
    shuffled: bool = False
    """Permute each mask: a random one with as many weights, as a control."""


def principal(weight_OI: Tensor, rank: int, share: float) -> Tensor:
    """Whether each weight is among the largest `share` of |W_k|, the best approximation of that rank."""
    u_OR, s_R, v_RI = torch.linalg.svd(weight_OI.float(), full_matrices=False)
    return _largest(((u_OR[:, :rank] * s_R[:rank]) @ v_RI[:rank]).abs(), share)


def low_magnitude(weight_OI: Tensor, share: float) -> Tensor:
    """Whether each weight is among the smallest `share` of |W|."""
    return _largest(-weight_OI.float().abs(), share)


def mask(weight_OI: Tensor, config: UpdateMaskConfig, seed: int = 0) -> Tensor:
    """True where the weight may move. What is looked at are the values as bfloat16 stores them."""
    stored_OI = weight_OI.detach().to(torch.bfloat16)
    allowed_OI = torch.zeros_like(weight_OI, dtype=torch.bool)
    for part in config.parts:
        kind = part.removeprefix("not-")
        if kind == "principal":
            found_OI = principal(stored_OI, config.rank, config.share)
        else:
            found_OI = low_magnitude(stored_OI, config.share)
        allowed_OI |= ~found_OI if part.startswith("not-") else found_OI
    return _permuted(allowed_OI, seed) if config.shuffled else allowed_OI


def masks(module: PreTrainedModel, config: UpdateMaskConfig, seed: int) -> Mapping[str, Tensor]:
    """A mask for the weight of each linear layer but the output head, by the parameter's name."""
    head = module.get_output_embeddings()
    return {
        f"{name}.weight": mask(layer.weight, config, derive_seed(seed, name))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head
    }


def _largest(value_OI: Tensor, share: float) -> Tensor:
    """The first of equals where they are too many."""
    value_M = value_OI.flatten()
    best_M = value_M.argsort(descending=True, stable=True)[: math.floor(share * len(value_M) + 0.5)]
    return torch.zeros_like(value_M, dtype=torch.bool).index_fill(0, best_M, True).view_as(value_OI)


def _permuted(mask_OI: Tensor, seed: int) -> Tensor:
    order = torch.randperm(mask_OI.numel(), generator=torch.Generator().manual_seed(seed))
    return mask_OI.flatten()[order.to(mask_OI.device)].view_as(mask_OI)
