"""Rollouts and updates of a model of 0.6 billion parameters on a GPU: tokens per second, FLOP utilisation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from palaestra.core.chat import TokenTrace
from palaestra.models.decoding import Row, decode
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

GROUP, TASKS, PROMPT, ANSWER, REPEATS = 8, 16, 512, 512, 3
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12}
"""Dense bf16 of the data sheets, by a part of the device's name."""


def architecture() -> Qwen3Config:
    """The shape of Qwen3-0.6B."""
    return Qwen3Config(
        vocab_size=151_936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
        max_position_embeddings=4096,
    )


def forward_flops(config: Qwen3Config, prompt: int, answers: int, answer: int) -> float:
    """What a prompt and `answers` answers to it cost in one forward pass, with the prompt read once.

    2 for each weight of a layer's matrices and each token, 2·V·H for each generated token's logits, and
    4·heads·head_dim in each layer for each pair of a token with one that it attends to, itself included.
    Padding, the embedding's look-up, norms and everything that is computed twice do not count.
    """
    width = config.hidden_size // config.num_attention_heads if config.head_dim is None else config.head_dim
    heads, keys = config.num_attention_heads * width, (config.num_key_value_heads or 0) * width
    layer = config.hidden_size * (2 * heads + 2 * keys) + 3 * config.hidden_size * config.intermediate_size
    tokens = prompt + answers * answer
    pairs = prompt * (prompt + 1) / 2 + answers * (answer * prompt + answer * (answer + 1) / 2)
    return (
        2 * config.num_hidden_layers * layer * tokens
        + 2 * config.vocab_size * config.hidden_size * answers * answer
        + 4 * config.num_hidden_layers * heads * pairs
    )


def measure_gpu() -> dict[str, Any]:
    """Rollouts: generated tokens. Updates: the same tokens learnt from, three times the forward FLOP."""
    device = torch.cuda.get_device_name()
    torch.manual_seed(0)
    with torch.device("cuda"):
        module = Qwen3ForCausalLM(architecture()).bfloat16().eval()
    module.generation_config.eos_token_id = (
        architecture().vocab_size
    )  # no token: every answer has full length
    tokenizer = TinyModel.build("tiny/gpu", ["plan a day"], TinyConfig(), device="cpu").tokenizer
    prompts = torch.randint(module.config.vocab_size, (TASKS, PROMPT)).tolist()
    rows = [Row(prompt, 1.0, row) for row, prompt in enumerate(prompts * GROUP)]
    rollout_seconds = _median_seconds(lambda: decode(module, tokenizer, rows, ANSWER))
    drawn = decode(module, tokenizer, rows, ANSWER)
    samples = [
        Sample(
            TokenTrace(
                ids=(*row.prompt, *made.ids),
                log_probs=(*[0.0] * PROMPT, *made.log_probs),
                mask=(*[False] * PROMPT, *[True] * len(made.ids)),
            ),
            reward=float(sum(made.ids) % 11),
            group=place % TASKS,
        )
        for place, (row, made) in enumerate(zip(rows, drawn, strict=True))
    ]
    updater = Updater(module, GRPO(GRPOConfig(kl=0)), OptimizerConfig(), steps=1000)
    update_seconds = _median_seconds(lambda: updater.update(samples))
    forward = TASKS * forward_flops(module.config, PROMPT, GROUP, ANSWER)
    tokens = TASKS * GROUP * ANSWER
    peak = next((flops for name, flops in PEAK_FLOPS.items() if name in device), None)
    return {
        "device": device,
        "torch": torch.__version__,
        "parameters": sum(weight.numel() for weight in module.parameters()),
        "peak_flops": peak,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "rollout": _rates(rollout_seconds, tokens, forward, peak),
        "update": _rates(update_seconds, tokens, 3 * forward, peak),
    }


def _rates(seconds: float, tokens: int, flops: float, peak: float | None) -> dict[str, float | None]:
    return {
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "flops": flops / seconds,
        "utilisation": flops / seconds / peak if peak else None,
    }


def _median_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for repeat in range(REPEATS + 1):
        torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        if repeat:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
