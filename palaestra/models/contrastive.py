"""Contrastive decoding: tokens that a strong model likes and a weak one does not (arXiv 2210.15097).

Where the authors' code and their paper differ, this follows the paper: log p_A is normalised at its
temperature, which matters between hypotheses; the amateur reads the whole prompt; hypotheses are ranked by
the contrast alone. Vocabularies may be padded to different sizes, as those of one family's models are.

Shape suffixes: `_N` rows, `_T` tokens, `_V` vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from palaestra.core.chat import Sampling
from palaestra.core.errors import ConfigError, ModelError
from palaestra.models.config import ContrastConfig, ModelConfig
from palaestra.models.contrast import contrast
from palaestra.models.decoding import NOT_FINITE, Decoded, Row, draw, end_tokens, has_stopped
from palaestra.models.hf import ROWS, HFModel, read_model
from palaestra.models.reading import Reading


class ContrastiveModel(HFModel):
    """`hf/<expert>` with an amateur: sampled from the softmax of the contrast, or its likeliest tokens.

    `score` is the expert's own. Token log-probabilities are those of the contrast: what is drawn here is no
    rollout of the expert.
    """

    def __init__(
        self,
        name: str,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        amateur: PreTrainedModel,
        config: ContrastConfig,
        rows: int = ROWS,
        context_window: int | None = None,
    ) -> None:
        windows = [each.config.max_position_embeddings for each in (module, amateur)]
        super().__init__(name, module, tokenizer, rows, context_window or min(windows))
        self._amateur = amateur.eval()
        self._contrast = config

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        contrast = config.contrast
        if contrast is None or not (config.name.startswith("hf/") and contrast.amateur.startswith("hf/")):
            raise ConfigError(
                f"{config.name} cannot be decoded by contrast; give two models as hf/<folder or hub id>"
            )
        module, tokenizer = read_model(config)
        amateur, other = read_model(config.model_copy(update={"name": contrast.amateur}))
        if tokenizer.get_vocab() != other.get_vocab():
            raise ConfigError(
                f"{config.name} and {contrast.amateur} have different vocabularies; "
                "choose an amateur of the same family"
            )
        return cls(
            config.name,
            module,
            tokenizer,
            amateur,
            contrast,
            config.concurrency or ROWS,
            config.context_window,
        )

    def _draw(self, rows: Sequence[Row], max_tokens: int, sampling: Sampling) -> list[Decoded]:
        with_beams = [self._contrast.beams > 1 and row.temperature == 0 for row in rows]
        others = [row for row, beams in zip(rows, with_beams, strict=True) if not beams]
        drawn = iter(self._sample(others, max_tokens, sampling) if others else ())
        return [
            beam_search(
                self.module,
                self._amateur,
                self.tokenizer,
                row.prompt,
                self._contrast,
                max_tokens,
                sampling.stop,
            )
            if beams
            else next(drawn)
            for row, beams in zip(rows, with_beams, strict=True)
        ]

    @torch.inference_mode()
    def _sample(self, rows: Sequence[Row], max_tokens: int, sampling: Sampling) -> list[Decoded]:
        prompts = [row.prompt for row in rows]
        reading = ContrastReading(
            Reading(self.module, prompts), Reading(self._amateur, prompts), self._contrast
        )
        ends = end_tokens(self.module, self.tokenizer)
        return draw(reading, self.tokenizer, rows, ends, max_tokens, sampling.top_p, sampling.stop)


class ContrastReading:
    """Two models that read the same; what may come next is the contrast of their logits."""

    def __init__(self, expert: Reading, amateur: Reading, config: ContrastConfig) -> None:
        self._readings = expert, amateur
        self._config = config

    @property
    def next_logits_NV(self) -> Tensor:
        expert_NV, amateur_NV = (reading.next_logits_NV.float() for reading in self._readings)
        amateur_NV = amateur_NV / self._config.amateur_temperature
        return contrast(expert_NV.log_softmax(-1), amateur_NV.log_softmax(-1), self._config.plausibility)

    def read(self, token_N: Tensor) -> None:
        for reading in self._readings:
            reading.read(token_N)

    def go_on_with(self, rows_N: Tensor) -> None:
        for reading in self._readings:
            reading.go_on_with(rows_N)


class _Hypothesis(NamedTuple):
    total: float
    """Of the contrast, over its tokens."""
    ids: list[int]
    log_probs: list[float]
    parent: int
    """The row whose continuation it is."""

    def decoded(self, stopped: bool) -> Decoded:
        return Decoded(self.ids, self.log_probs, stopped)


@torch.inference_mode()
def beam_search(
    expert: PreTrainedModel,
    amateur: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: list[int],
    config: ContrastConfig,
    max_tokens: int,
    stop: Sequence[str] = (),
) -> Decoded:
    """The completion of the largest contrast, summed over its tokens, that `config.beams` hypotheses lead to.

    The search ends when so many have come to their end. One that was cut off counts only if none did.

    Raises:
        ModelError: the logits are not finite.
    """
    ends = end_tokens(expert, tokenizer)
    reading = ContrastReading(Reading(expert, [prompt]), Reading(amateur, [prompt]), config)
    live = [_Hypothesis(0.0, [], [], 0)]
    finished: list[_Hypothesis] = []
    for _ in range(max_tokens):
        following = _best(live, reading.next_logits_NV, config.beams * (1 + len(ends)))
        ended = [each.ids[-1] in ends or has_stopped(tokenizer, each.ids, stop) for each in following]
        finished += [each for each, over in zip(following, ended, strict=True) if over]
        live = [each for each, over in zip(following, ended, strict=True) if not over][: config.beams]
        if len(finished) >= config.beams or not live:
            break
        reading.go_on_with(torch.tensor([each.parent for each in live], device=expert.device))
        reading.read(torch.tensor([each.ids[-1] for each in live], device=expert.device))
    best = max(finished or live, key=lambda each: each.total)
    return best.decoded(stopped=bool(finished))


def _best(live: Sequence[_Hypothesis], score_NV: Tensor, count: int) -> list[_Hypothesis]:
    """The continuations of the largest totals, largest first."""
    log_prob_NV = score_NV.log_softmax(dim=-1)
    total_NV = score_NV + torch.tensor([[each.total] for each in live], device=score_NV.device)
    finite = int(total_NV.isfinite().sum())
    if not finite:
        raise ModelError(NOT_FINITE)
    best = total_NV.flatten().topk(min(count, finite))
    following = []
    for total, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        row, token = divmod(place, score_NV.shape[-1])
        log_prob = log_prob_NV[row, token].item()
        following.append(_Hypothesis(total, [*live[row].ids, token], [*live[row].log_probs, log_prob], row))
    return following
