"""A growing cache holds what a dynamic one holds, whatever is appended and however rows are reordered."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, MistralConfig, Qwen3Config
from transformers.cache_utils import DynamicLayer

from palaestra.models.growing_cache import GrowingLayer, growing_cache

STEPS = st.lists(
    st.one_of(st.integers(1, 40), st.lists(st.integers(0, 5), min_size=1, max_size=8)),
    min_size=1,
    max_size=12,
)
"""So many tokens more, or which rows to go on with."""


@given(STEPS)
def test_it_holds_what_a_dynamic_cache_holds(steps: list[int | list[int]]) -> None:
    config = Qwen3Config(num_hidden_layers=1, hidden_size=8, num_attention_heads=2)
    ours, theirs = growing_cache(config), DynamicCache(config=config)
    rows, noise = 3, torch.Generator().manual_seed(0)
    for step in [2, *steps]:
        if isinstance(step, list):
            row_N = torch.tensor([row % rows for row in step])
            rows = len(row_N)
            ours.reorder_cache(row_N)  # type: ignore[arg-type]
            theirs.reorder_cache(row_N)  # type: ignore[arg-type]
            continue
        new_NKTD = torch.randn(rows, 2, step, 4, generator=noise)
        found = ours.update(new_NKTD, -new_NKTD, 0)
        expected = theirs.update(new_NKTD, -new_NKTD, 0)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_rows_that_stay_in_place_are_not_copied() -> None:
    cache = growing_cache(Qwen3Config(num_hidden_layers=1))
    first_NKTD = torch.randn(4, 2, 3, 4)
    cache.update(first_NKTD, first_NKTD.clone(), 0)
    keys_before, _ = cache.update(torch.randn(4, 2, 1, 4), torch.randn(4, 2, 1, 4), 0)
    cache.reorder_cache(torch.tensor([0, 3]))  # type: ignore[arg-type]
    keys_after, _ = cache.update(torch.randn(2, 2, 1, 4), torch.randn(2, 2, 1, 4), 0)
    assert keys_after.data_ptr() == keys_before.data_ptr()


def test_what_a_model_gives_stays_as_it_is_even_if_keys_and_values_are_one() -> None:
    cache = growing_cache(Qwen3Config(num_hidden_layers=1))
    cache.reorder_cache(torch.tensor([1, 0, 2]))  # type: ignore[arg-type]
    both_NKTD = torch.arange(3.0)[:, None, None, None].expand(3, 2, 3, 4)
    cache.update(both_NKTD, both_NKTD, 0)
    cache.reorder_cache(torch.tensor([1, 2, 0]))  # type: ignore[arg-type]
    for found_NKTD in cache.update(both_NKTD, both_NKTD, 0):
        assert found_NKTD[:, 0, 0, 0].tolist() == [1, 2, 0]
    assert both_NKTD[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_layers_that_look_back_over_a_window_stay_what_they_are() -> None:
    plain = growing_cache(Qwen3Config(num_hidden_layers=2))
    sliding = growing_cache(MistralConfig(num_hidden_layers=2, sliding_window=8))
    assert {type(layer) for layer in plain.layers} == {GrowingLayer}
    assert not {type(layer) for layer in sliding.layers} & {GrowingLayer, DynamicLayer}
