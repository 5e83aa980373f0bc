"""Hidden states of rows that begin with the same prompts: each prompt is read once for all of its rows.

Shape suffixes: `_N` rows, `_T` tokens, `_P` distinct prompts, `_B` tokens of a row after its prompt, `_H`
hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer
from transformers.modeling_layers import GradientCheckpointingLayer


class SharedPrompts(NamedTuple):
    prompts: list[tuple[int, ...]]
    """The distinct ones."""
    prompt_N: Tensor
    """Which of them each row begins with."""
    length_N: Tensor
    """Its tokens."""

    @classmethod
    def of(cls, prompt_of_row: Sequence[Sequence[int]], device: torch.device) -> Self:
        rows = [tuple(prompt) for prompt in prompt_of_row]
        place = {prompt: number for number, prompt in enumerate(dict.fromkeys(rows))}
        return cls(
            prompts=list(place),
            prompt_N=torch.tensor([place[prompt] for prompt in rows], device=device),
            length_N=torch.tensor([len(prompt) for prompt in rows], device=device),
        )

    def places_after(self, attention_NT: Tensor) -> Tensor:
        """Where the rest of each row stands, as many places as the longest rest needs. Shape (N, B)."""
        width = int((attention_NT.sum(dim=-1) - self.length_N).max())
        return self.length_N[:, None] + torch.arange(width, device=attention_NT.device)

    @property
    def saved(self) -> int:
        """Tokens that need not be read again."""
        return int(self.length_N.sum()) - sum(map(len, self.prompts))


def keeps_all(module: PreTrainedModel) -> bool:
    """Whether what the module has read can be kept and read on from with gradient: keys and values of all
    tokens in every layer, and no layer whose activations are computed again."""
    layers = DynamicCache(config=module.config).layers
    again = (
        isinstance(each, GradientCheckpointingLayer) and each.gradient_checkpointing
        for each in module.modules()
    )
    return all(type(layer) is DynamicLayer for layer in layers) and not any(again)


def hidden_after_prompts(
    module: PreTrainedModel, shared: SharedPrompts, ids_NT: Tensor, attention_NT: Tensor, place_NB: Tensor
) -> Tensor:
    """The last hidden states of what follows each row's prompt. Shape (N, B, H)."""
    prompt_PT, read_PT = padded_on_the_left(shared.prompts, ids_NT.device)
    cache = DynamicCache(config=module.config)
    module.base_model(
        input_ids=prompt_PT,
        attention_mask=read_PT,
        position_ids=(read_PT.cumsum(dim=-1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    )
    cache.reorder_cache(shared.prompt_N)  # type: ignore[arg-type]
    hidden_NBH: Tensor = module.base_model(
        input_ids=at(ids_NT, place_NB),
        attention_mask=torch.cat([read_PT[shared.prompt_N], at(attention_NT, place_NB)], dim=-1),
        position_ids=place_NB,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return hidden_NBH


def at(values_NT: Tensor, place_NB: Tensor) -> Tensor:
    """The values at these places, 0 at those beyond the end. Shape (N, B)."""
    width = values_NT.shape[1]
    return values_NT.gather(1, place_NB.clamp(max=width - 1)).masked_fill(place_NB >= width, 0)


def padded_on_the_left(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Token ids, and 1 where there are any. Each of shape (N, T)."""
    width = max(map(len, rows))
    ids_NT = torch.tensor([[0] * (width - len(row)) + [*row] for row in rows], device=device)
    read_NT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids_NT, read_NT
