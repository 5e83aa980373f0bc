"""Drawing a batch of completions from a transformers model, each row with a seed of its own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TopPLogitsWarper,
)

from palaestra.core.chat import Sampling


class Decoded(NamedTuple):
    ids: list[int]
    """The generated tokens, end-of-sequence included when it was drawn."""
    log_probs: list[float]
    """Of each of `ids`, under the distribution it was drawn from; at temperature 0, under temperature 1."""
    stopped: bool
    """False when the limit on tokens cut the row off."""


class SeededSampler(LogitsProcessor):
    """Turns greedy search into exact sampling with one random stream per row; keeps the log-probabilities.

    Gumbel-max: argmax(log p + g) with independent Gumbel noise g is a draw from p. A row's draw thus depends
    on its own seed and logits alone, not on the batch that it happens to be in.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int | None], device: torch.device) -> None:
        self.log_probs_N: list[Tensor] = []
        self._temperature = sampling.temperature
        self._top_p = TopPLogitsWarper(sampling.top_p) if sampling.top_p < 1 else None
        self._streams = [
            torch.Generator(device).manual_seed(secrets.randbits(63) if seed is None else seed)
            for seed in seeds
        ]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores_NV = scores.float() / (self._temperature or 1.0)
        if self._top_p and self._temperature:
            scores_NV = self._top_p(input_ids, scores_NV)
        log_prob_NV = scores_NV.log_softmax(dim=-1)
        noisy_NV = log_prob_NV + self._gumbel(log_prob_NV) if self._temperature else log_prob_NV
        chosen_N1 = noisy_NV.argmax(dim=-1, keepdim=True)
        self.log_probs_N.append(log_prob_NV.gather(-1, chosen_N1).squeeze(-1))
        return noisy_NV

    def _gumbel(self, like_NV: Tensor) -> Tensor:
        noise_NV = torch.empty_like(like_NV)
        for row_V, stream in zip(noise_NV, self._streams, strict=True):
            row_V.exponential_(generator=stream)
        return -noise_NV.log()


@torch.inference_mode()
def decode(
    module: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[int | None],
    max_tokens: int,
) -> list[Decoded]:
    """One completion per prompt. `sampling` holds for the batch; its own seed and index are not looked at."""
    ends = _end_tokens(module, tokenizer)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    width = max(len(prompt) for prompt in prompts)
    ids_NT = torch.tensor([[padding] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    attention_NT = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampler = SeededSampler(sampling, seeds, module.device)
    generate: Any = module.generate  # transformers types it for classes that it declares abstract
    sequences_NT = generate(
        ids_NT.to(module.device),
        attention_mask=attention_NT.to(module.device),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=ends,
            pad_token_id=padding,
            stop_strings=list(sampling.stop) or None,
        ),
        logits_processor=LogitsProcessorList([sampler]),
        tokenizer=tokenizer,
    )
    decoded = []
    for ids, log_probs in zip(
        sequences_NT[:, width:].tolist(), torch.stack(sampler.log_probs_N, dim=1).tolist(), strict=True
    ):
        length, stopped = _generated_length(ids, ends, tokenizer, sampling.stop)
        decoded.append(Decoded(ids[:length], log_probs[:length], stopped))
    return decoded


def _end_tokens(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ends = module.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return ends if isinstance(ends, list) else [ends]


def _generated_length(
    ids: list[int], ends: Sequence[int], tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]
) -> tuple[int, bool]:
    """How many of a row's tokens were generated before padding began, and whether it came to its own end."""
    for length, token in enumerate(ids, start=1):
        if token in ends or (stops and any(stop in tokenizer.decode(ids[:length]) for stop in stops)):
            return length, True
    return len(ids), False
