"""Training few weights beside many frozen ones, through peft: LoRA (arXiv 2106.09685) and PiSSA (2404.02948).

The adapters are put into the module itself, so that sampling, scoring and updating see one ordinary model.
What the policy was at the start is the frozen weights with the adapters as they began: nothing in LoRA, the
principal part in PiSSA.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record


class AdapterConfig(Record):
    kind: Literal["lora", "pissa"]
    """lora starts as nothing; pissa starts as the principal part of the weights, which are left the rest."""
    rank: int = Field(default=16, ge=1)
    alpha: int | None = Field(default=None, ge=1)
    """The adapter counts alpha / rank times; null is the rank."""
    targets: tuple[str, ...] = ()
    """Last parts of the names of the layers to adapt, such as q_proj; empty is all linear ones but the
    output head."""


def add_adapter(module: PreTrainedModel, config: AdapterConfig, seed: int) -> None:
    """Freeze the module and put adapters into it, which depend on `seed` alone. Its output stays the same.

    Raises:
        ConfigError: no layer has such a name.
    """
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.rank if config.alpha is None else config.alpha,
        target_modules=list(config.targets) or "all-linear",
        init_lora_weights="pissa" if config.kind == "pissa" else True,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            inject_adapter_in_model(settings, module)
        except ValueError as error:
            raise ConfigError(
                f"adapter.targets={list(config.targets)} cannot be adapted: {str(error).splitlines()[0]}"
            ) from error
    module.eval()


def frozen(module: PreTrainedModel) -> PreTrainedModel:
    """The module as it is now, for good. What training moves is copied, all else is shared with it."""
    shared = {id(weight): weight for weight in module.parameters() if not weight.requires_grad}
    return copy.deepcopy(module, shared).requires_grad_(False)


def adapted_state(module: PreTrainedModel) -> dict[str, Tensor]:
    """The adapters with the weights that they were put beside: after PiSSA not the original ones."""
    adapted = tuple(f"{name}." for name, layer in _adapted(module).items())
    return {name: value for name, value in module.state_dict().items() if name.startswith(adapted)}


def is_adapted(module: PreTrainedModel) -> bool:
    return bool(_adapted(module))


def merged(module: PreTrainedModel) -> PreTrainedModel:
    """A copy with the adapters added to the weights: an ordinary model with the same output."""
    whole = copy.deepcopy(module)
    for name, layer in _adapted(whole).items():
        layer.merge()
        parent, _, own_name = name.rpartition(".")
        setattr(whole.get_submodule(parent), own_name, layer.get_base_layer())
    return whole


def _adapted(module: PreTrainedModel) -> Mapping[str, BaseTunerLayer]:
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}
