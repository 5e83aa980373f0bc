"""Keys and values of texts that grow token by token.

Shape suffixes: `_N` rows, `_K` heads of keys and values, `_T` tokens, `_D` features of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer


class Growing:
    """What is kept of each token read, with room for more: a token is written beside those before it, and
    rows that keep their places are not copied. Not for gradients, as it writes in place."""

    def __init__(self, like_NKTD: Tensor) -> None:
        """Of nothing yet: what a model gives stays its own."""
        self._room_NKTD = self.read_NKTD = like_NKTD[:, :, :0]

    def append(self, new_NKTD: Tensor) -> Tensor:
        rows, heads, before, features = self.read_NKTD.shape
        after = before + new_NKTD.shape[-2]
        if after > self._room_NKTD.shape[-2]:
            self._room_NKTD = new_NKTD.new_empty(rows, heads, 3 * after // 2 + 16, features)
            self._room_NKTD[:, :, :before] = self.read_NKTD
        self._room_NKTD[:, :, before:after] = new_NKTD
        self.read_NKTD = self._room_NKTD[:, :, :after]
        return self.read_NKTD

    def reorder(self, row_N: Tensor) -> Tensor:
        """Let the rows be copies of these ones."""
        rows = len(row_N)
        if rows > len(self._room_NKTD):
            self._room_NKTD = self.read_NKTD = self.read_NKTD.index_select(0, row_N)
        else:
            moved = (row_N != torch.arange(rows, device=row_N.device)).nonzero()[:, 0]
            self.read_NKTD[moved] = self.read_NKTD[row_N[moved]]
            self._room_NKTD, self.read_NKTD = self._room_NKTD[:rows], self.read_NKTD[:rows]
        return self.read_NKTD


class GrowingLayer(DynamicLayer):
    """One layer of a cache for decoding; the layer that it stands for copies all it holds for each token.

    Rows are chosen by `reorder_cache` alone, and no token is taken back.
    """

    _keys: Growing
    _values: Growing

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._keys, self._values = Growing(key_states), Growing(value_states)
        self.keys, self.values = self._keys.append(key_states), self._values.append(value_states)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        if self.is_initialized:
            self.keys, self.values = self._keys.reorder(beam_idx), self._values.reorder(beam_idx)


def growing_cache(config: PreTrainedConfig) -> DynamicCache:
    """An empty cache; layers that look back over a window, or keep a state, are as the model has them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer  # type: ignore[no-untyped-call]
        for layer in cache.layers
    ]
    return cache
