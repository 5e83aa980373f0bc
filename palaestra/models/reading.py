"""A model that reads on: what comes next after rows of tokens that grow at their ends.

Shape suffixes: `_N` rows, `_T` tokens, `_V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedModel

from palaestra.models.growing_cache import growing_cache
from palaestra.models.shared_prompts import SharedPrompts, padded_on_the_left


class Reading:
    """Keys and values of what was read are kept, so that each token is read once, and a prompt once for all
    of its rows."""

    def __init__(self, module: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        self._module: Any = module
        self._cache = growing_cache(module.config)
        shared = SharedPrompts.of(prompts, module.device)
        prompt_PT, self._read_NT = padded_on_the_left(shared.prompts, module.device)
        self.next_logits_NV = self._read(prompt_PT)
        """Of the token after each row."""
        if shared.saved:
            self.go_on_with(shared.prompt_N)

    def read(self, token_N: Tensor) -> None:
        """One more token of each row."""
        self._read_NT = pad(self._read_NT, (0, 1), value=1)
        self.next_logits_NV = self._read(token_N[:, None])

    def go_on_with(self, rows_N: Tensor) -> None:
        """Let the rows be copies of earlier ones."""
        self._cache.reorder_cache(rows_N)  # type: ignore[arg-type]
        self._read_NT = self._read_NT[rows_N]
        self.next_logits_NV = self.next_logits_NV[rows_N]

    def _read(self, ids_NT: Tensor) -> Tensor:
        place_NT = (self._read_NT.cumsum(dim=-1) - 1).clamp(min=0)
        logits_N1V: Tensor = self._module(
            input_ids=ids_NT,
            attention_mask=self._read_NT,
            position_ids=place_NT[:, -ids_NT.shape[1] :],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits_N1V[:, -1]
