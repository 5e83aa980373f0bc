"""Drawing a batch of completions from a transformers model, each row with a seed of its own.

Shape suffixes: `_N` rows that are going on, `_V` vocabulary.
"""

from __future__ import annotations

import secrets
from bisect import bisect_left
from collections.abc import Sequence
from random import Random
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TopPLogitsWarper

from palaestra.core.errors import ModelError
from palaestra.models.reading import Reading

NOT_FINITE = "the model's logits are not finite: its weights are damaged, or have diverged"


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


class Readable(Protocol):
    """Rows that grow token by token, and what may come next: as `Reading` has them."""

    @property
    def next_logits_NV(self) -> Tensor: ...

    def read(self, token_N: Tensor) -> None: ...

    def go_on_with(self, rows_N: Tensor) -> None: ...


class SeededSampler:
    """Exact sampling with one random stream per row.

    A uniform number falls into the interval that a token takes of the cumulated probabilities. Which token a
    row draws depends on its own seed and logits alone, not on the rows beside it.
    """

    def __init__(self, rows: Sequence[Row], top_p: float, device: torch.device) -> None:
        temperatures = [row.temperature or 1.0 for row in rows]
        self._temperature_N1 = torch.tensor(temperatures, device=device)[:, None]
        self._is_greedy_N = torch.tensor([row.temperature == 0 for row in rows], device=device)
        self._top_p = TopPLogitsWarper(top_p) if top_p < 1 else None
        self._streams = [Random(secrets.randbits(63) if row.seed is None else row.seed) for row in rows]

    def draw(self, logits_NV: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of each row, and its log-probability. Each of shape (N,)."""
        scores_NV = logits_NV.float() / self._temperature_N1
        if self._top_p:
            scores_NV = self._top_p(torch.empty(0, dtype=torch.long), scores_NV)
        log_prob_NV = scores_NV.log_softmax(dim=-1)
        sampled_N, best_N = self._sampled(log_prob_NV), log_prob_NV.argmax(dim=-1)
        chosen_N = best_N.where(self._is_greedy_N, sampled_N)
        return chosen_N, log_prob_NV.gather(-1, chosen_N[:, None])[:, 0]

    def go_on_with(self, rows: Sequence[int]) -> None:
        """Draw for these rows alone from now on."""
        self._temperature_N1 = self._temperature_N1[rows]
        self._is_greedy_N = self._is_greedy_N[rows]
        self._streams = [self._streams[row] for row in rows]

    def _sampled(self, log_prob_NV: Tensor) -> Tensor:
        """In double precision, in which the probabilities of a large vocabulary still add up."""
        cumulated_NV = log_prob_NV.double().exp().cumsum(dim=-1)
        uniform_N = [stream.random() for stream in self._streams]
        drawn_N1 = cumulated_NV[:, -1:] * cumulated_NV.new_tensor(uniform_N)[:, None]
        last = log_prob_NV.shape[-1] - 1
        return torch.searchsorted(cumulated_NV, drawn_N1, right=True)[:, 0].clamp(max=last)


@torch.inference_mode()
def decode(
    module: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    max_tokens: int,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
) -> list[Decoded]:
    """One completion per row, all decoded together."""
    reading = Reading(module, [row.prompt for row in rows])
    return draw(reading, tokenizer, rows, end_tokens(module, tokenizer), max_tokens, top_p, stop)


@torch.inference_mode()
def draw(
    reading: Readable,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    ends: Sequence[int],
    max_tokens: int,
    top_p: float = 1.0,
    stop: Sequence[str] = (),
) -> list[Decoded]:
    """One completion per row, from rows whose prompts have been read. A row that has ended costs no more.

    Raises:
        ModelError: the logits are not finite.
    """
    sampler = SeededSampler(rows, top_p, reading.next_logits_NV.device)
    drawn = [Decoded([], [], stopped=False) for _ in rows]
    live = list(range(len(rows)))
    for count in range(1, max_tokens + 1):
        token_N, log_prob_N = sampler.draw(reading.next_logits_NV)
        going: list[int] = []
        if log_prob_N.isnan().any():
            raise ModelError(NOT_FINITE)
        values = zip(live, token_N.tolist(), log_prob_N.tolist(), strict=True)
        for place, (row, token, log_prob) in enumerate(values):
            drawn[row].ids.append(token)
            drawn[row].log_probs.append(log_prob)
            if token in ends or has_stopped(tokenizer, drawn[row].ids, stop):
                drawn[row] = drawn[row]._replace(stopped=True)
            else:
                going.append(place)
        if not going or count == max_tokens:
            break
        if len(going) < len(live):
            going = closed_up(going)
            live = [live[place] for place in going]
            sampler.go_on_with(going)
            going_N = torch.tensor(going, device=token_N.device)
            reading.go_on_with(going_N)
            token_N = token_N[going_N]
        reading.read(token_N)
    return drawn


def closed_up(places: Sequence[int]) -> list[int]:
    """The places, given in order, so that all but the last ones stay where they are: those fill the gaps."""
    count = len(places)
    staying = bisect_left(places, count)
    last = iter(places[staying:])
    kept = set(places[:staying])
    return [place if place in kept else next(last) for place in range(count)]


def has_stopped(tokenizer: PreTrainedTokenizerBase, ids: list[int], stop: Sequence[str]) -> bool:
    """Whether one of the stop strings has been generated."""
    return bool(stop) and any(each in tokenizer.decode(ids) for each in stop)


def end_tokens(module: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that end a completion."""
    ends = module.generation_config.eos_token_id
    if ends is None:
        ends = tokenizer.eos_token_id
    return ends if isinstance(ends, list) else [ends]
