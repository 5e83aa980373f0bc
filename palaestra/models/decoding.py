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


class Row(NamedTuple):
    """One completion to draw."""

    prompt: list[int]
    temperature: float
    """0 is greedy."""
    seed: int | None
    """None draws a fresh one."""


class Decoded(NamedTuple):
    ids: list[int]
    """The generated tokens, end-of-sequence included when it was drawn."""
    log_probs: list[float]
    """Of each of `ids`, under the distribution it was drawn from; of a greedy row, under temperature 1."""
    stopped: bool
    """False when the limit on tokens cut the row off."""


class SeededSampler(LogitsProcessor):
    """Turns greedy search into exact sampling with one random stream per row; keeps the log-probabilities.

    Gumbel-max: argmax(log p + g) with independent Gumbel noise g is a draw from p. Which token a row draws
    depends on its own seed and logits alone, not on the rows beside it.
    """

    def __init__(self, rows: Sequence[Row], top_p: float, device: torch.device) -> None:
        self.log_probs_N: list[Tensor] = []
        temperatures = [row.temperature or 1.0 for row in rows]
        self._temperature_N1 = torch.tensor(temperatures, device=device)[:, None]
        self._top_p = TopPLogitsWarper(top_p) if top_p < 1 else None
        self._streams = [
            torch.Generator(device).manual_seed(secrets.randbits(63) if row.seed is None else row.seed)
            if row.temperature
            else None
            for row in rows
        ]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        scores_NV = scores.float() / self._temperature_N1
        if self._top_p:
            scores_NV = self._top_p(input_ids, scores_NV)
        log_prob_NV = scores_NV.log_softmax(dim=-1)
        noisy_NV = log_prob_NV + self._gumbel(log_prob_NV)
        chosen_N1 = noisy_NV.argmax(dim=-1, keepdim=True)
        self.log_probs_N.append(log_prob_NV.gather(-1, chosen_N1).squeeze(-1))
        return noisy_NV

    def _gumbel(self, like_NV: Tensor) -> Tensor:
        """Independent noise for the rows that sample, none for the greedy ones."""
        exponential_NV = torch.ones_like(like_NV)
        for row_V, stream in zip(exponential_NV, self._streams, strict=True):
            if stream is not None:
                row_V.exponential_(generator=stream)
        return -exponential_NV.log()


@torch.inference_mode()
def decode(
    module: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    max_tokens: int,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
    processors: Sequence[LogitsProcessor] = (),
) -> list[Decoded]:
    """One completion per row, all decoded together; `processors` change the logits that are drawn from."""
    ends = end_tokens(module, tokenizer)
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0]
    width = max(len(row.prompt) for row in rows)
    ids_NT = torch.tensor([[padding] * (width - len(row.prompt)) + row.prompt for row in rows])
    attention_NT = torch.tensor([[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows])
    sampler = SeededSampler(rows, top_p, module.device)
    generate: Any = module.generate  # transformers types it for classes that it declares abstract
    sequences_NT = generate(
        ids_NT.to(module.device),
        attention_mask=attention_NT.to(module.device),
        generation_config=GenerationConfig(
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=ends,
            pad_token_id=padding,
            stop_strings=list(stop) or None,
        ),
        logits_processor=LogitsProcessorList([*processors, sampler]),
        tokenizer=tokenizer,
    )
    decoded = []
    for ids, log_probs in zip(
        sequences_NT[:, width:].tolist(), torch.stack(sampler.log_probs_N, dim=1).tolist(), strict=True
    ):
        length, stopped = _generated_length(ids, ends, tokenizer, stop)
        decoded.append(Decoded(ids[:length], log_probs[:length], stopped))
    return decoded


def end_tokens(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion."""
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
