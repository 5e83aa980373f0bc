"""Rows that begin with the same prompts: the same hidden states and gradients, with fewer tokens read."""

import copy
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from palaestra.models.log_probs import hidden_before
from palaestra.models.shared_prompts import keeps_all

PROMPTS = [(5, 6, 7, 8), (9, 10), (5, 6, 7, 8), (5, 6, 7, 8), (11,), (9, 10), (5, 6, 7, 8)]
ANSWERS = [(1, 2), (3, 4, 1, 2, 9), (4,), (1, 2), (2, 2, 2), (8, 7), (6, 5, 4, 3, 2, 1)]


def small(**changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": 20,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }
    module: PreTrainedModel = Qwen3ForCausalLM(Qwen3Config(**sizes | changes))
    module.eval()
    return module


def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention, and what is selected: answers, but for the second token of the second one."""
    rows = [(*prompt, *answer) for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
    place = torch.arange(width)
    attention = (place < torch.tensor([[len(row)] for row in rows])).long()
    select = (place >= torch.tensor([[len(prompt)] for prompt in PROMPTS])) & attention.bool()
    select[1, 3] = False
    return ids, attention, select


@pytest.mark.parametrize("scale", [1.0, 4.0], ids=["flat", "sharp"])
def test_each_prompt_is_read_once_without_a_difference(scale: float) -> None:
    module = small()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(scale)
    plain = copy.deepcopy(module)
    ids, attention, select = batch()
    read: list[int] = []
    module.base_model.register_forward_hook(
        lambda module, args, kwargs, output: read.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    found = hidden_before(module, ids, attention, select)
    expected = plain.base_model(input_ids=ids, attention_mask=attention).last_hidden_state
    expected = expected[:, :-1][select[:, 1:]]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    # Of three distinct prompts all but the last token, then that one with the answers, each padded.
    assert read == [3 * 3, 7 * 7]
    assert sum(read) < ids.numel()
    weights = torch.linspace(-1, 1, found.numel()).view_as(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for own, other in zip(module.base_model.parameters(), plain.base_model.parameters(), strict=True):
        assert own.grad is not None
        torch.testing.assert_close(own.grad, other.grad, atol=1e-4, rtol=1e-4)


def test_layers_that_forget_read_every_row_whole() -> None:
    sliding = small(use_sliding_window=True, sliding_window=4, max_window_layers=0)
    assert keeps_all(small())
    assert not keeps_all(sliding)
    ids, attention, select = batch()
    expected = sliding.base_model(input_ids=ids, attention_mask=attention).last_hidden_state
    assert torch.equal(hidden_before(sliding, ids, attention, select), expected[:, :-1][select[:, 1:]])
