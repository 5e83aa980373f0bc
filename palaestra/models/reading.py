"""A model that reads on: what comes next after rows of tokens that grow at their ends.

Shape suffixes: `_N` rows, `_T` tokens, `_V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel


class Reading:
    """Keys and values of what was read are kept, so that each token is read once.

    `prompts` are the lengths of the prompts; they are padded on the left to that of the longest.
    """

    def __init__(self, module: PreTrainedModel, prompts: Sequence[int]) -> None:
        self._module: Any = module
        self._cache = DynamicCache()
        self._padding_N1 = max(prompts) - torch.tensor(prompts, device=module.device)[:, None]

    def next_logits(self, ids_NT: Tensor) -> Tensor:
        """Of the token after each row; rows begin with what was given before. Shape (N, V)."""
        place_NT = torch.arange(ids_NT.shape[1], device=ids_NT.device) - self._padding_N1
        new = slice(self._cache.get_seq_length(), None)
        logits_N1V: Tensor = self._module(
            input_ids=ids_NT[:, new],
            attention_mask=(place_NT >= 0).long(),
            position_ids=place_NT[:, new].clamp(min=0),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits_N1V[:, -1]

    def go_on_with(self, rows_N: Tensor) -> None:
        """Let the rows be copies of earlier ones."""
        self._cache.reorder_cache(rows_N)  # type: ignore[arg-type]
        self._padding_N1 = self._padding_N1[rows_N]
