"""The count of floating-point operations, against torch's own count of a forward pass."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.updater_gpu import architecture, forward_flops

SMALL = Qwen3Config(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)
SMALL._attn_implementation = "eager"


def test_it_is_torchs_count_without_the_masked_pairs() -> None:
    """Torch counts every pair of tokens, those that the mask forbids included."""
    tokens, prompt = 9, 4
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Qwen3ForCausalLM(SMALL)(torch.zeros(1, tokens, dtype=torch.long), logits_to_keep=tokens - prompt)
    masked = tokens * tokens - tokens * (tokens + 1) / 2
    attention = 4 * SMALL.num_hidden_layers * 4 * 8
    expected = counter.get_total_flops() - attention * masked
    assert forward_flops(SMALL, prompt, answers=1, answer=tokens - prompt) == expected


def test_answers_share_their_prompt() -> None:
    together = forward_flops(SMALL, prompt=7, answers=3, answer=5)
    alone = forward_flops(SMALL, prompt=7, answers=1, answer=5)
    assert 3 * alone - together == 2 * forward_flops(SMALL, prompt=7, answers=0, answer=5)


def test_a_token_of_the_model_costs_two_per_weight() -> None:
    config = architecture()
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in Qwen3ForCausalLM(config).parameters())
    assert 0.5e9 < weights < 1e9
    assert forward_flops(config, 0, 1, 1) == pytest.approx(2 * weights, rel=1e-3)
