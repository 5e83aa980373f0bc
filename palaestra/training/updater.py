"""One optimizer step after another: token log-probabilities, the objective, the gradient.

Shape suffixes: `_N` rollouts, `_T` tokens.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel, get_scheduler

from palaestra.core.chat import TokenTrace
from palaestra.core.errors import TrainingError
from palaestra.core.record import Record
from palaestra.models.log_probs import token_statistics
from palaestra.training.objectives.base import Objective, TokenBatch, token_mean


class OptimizerConfig(Record):
    learning_rate: float = Field(default=1e-6, gt=0)
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = Field(default=0.1, ge=0)
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    tokens_per_pass: int = Field(default=16_384, ge=1)
    """Padded tokens in one forward and backward pass; a matter of memory alone, the gradient is the same."""


class Sample(NamedTuple):
    trace: TokenTrace
    advantage: float
    sampled: bool = True
    """False for a greedy one, whose trace tells log-probabilities of another temperature."""


MOST_GAP = 0.1
"""Nats, on average over a batch, by which sampler and trainer may differ on the tokens that were sampled."""


class Updater:
    """Owns the optimizer of one policy.

    Args:
        module: the policy; it stays in evaluation mode, so that dropout never makes a ratio differ from 1.
        reference: the frozen model of the KL term, or None.
        temperature: of the rollouts; log-probabilities are taken under what was sampled from.
        steps: how many optimizer steps the schedule spans.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        objective: Objective,
        config: OptimizerConfig,
        steps: int,
        temperature: float = 1.0,
        reference: PreTrainedModel | None = None,
    ) -> None:
        if "reference" in objective.needs and reference is None:
            raise TrainingError(
                "the objective has a KL term and needs a reference model; set kl to 0 or give one"
            )
        self.module = module
        self.reference = reference if "reference" in objective.needs else None
        self._objective = objective
        self._config = config
        self._temperature = temperature
        self._optimizer = torch.optim.AdamW(
            module.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
        self._scheduler = get_scheduler(schedule, self._optimizer, config.warmup_steps, steps)

    def update(self, samples: Sequence[Sample], minibatches: int = 1) -> dict[str, float]:
        """One pass over `samples` in `minibatches` optimizer steps.

        Returns the token means of the objective's metrics, the gradient norm and the gap between the
        sampler's log-probabilities and the trainer's own, from which the ratio is computed. The learning
        rate is that of the first step.

        Raises:
            TrainingError: a gradient is not finite, or sampler and trainer do not agree on the policy.
        """
        metrics: dict[str, float] = defaultdict(float)
        metrics["learning_rate"] = self._scheduler.get_last_lr()[0]
        old = self._old_log_probs(samples, metrics) if "old" in self._objective.needs else None
        size = math.ceil(len(samples) / minibatches)
        for start in range(0, len(samples), size):
            part = slice(start, start + size)
            self._step(samples[part], old and old[part], metrics, weight=len(samples[part]) / len(samples))
        return dict(metrics)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self._optimizer.state_dict(), "scheduler": self._scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])

    def _step(
        self,
        samples: Sequence[Sample],
        old: Sequence[Tensor] | None,
        metrics: dict[str, float],
        weight: float,
    ) -> None:
        tokens = sum(sum(sample.trace.mask) for sample in samples)
        for rows in self._passes(samples):
            batch = self._token_batch([samples[row] for row in rows], old and [old[row] for row in rows])
            loss_NT, observed = self._objective(batch)
            loss = token_mean(loss_NT, batch.mask_NT, tokens)
            loss.backward()
            for name, value in {"loss": loss_NT.detach(), **observed}.items():
                metrics[name] += weight * float(token_mean(value, batch.mask_NT, tokens))
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), self._config.max_gradient_norm)
        if not torch.isfinite(norm):
            raise TrainingError(
                f"the gradient is {norm.item()}; lower the learning rate or look at the rollouts"
            )
        metrics["gradient_norm"] += weight * float(norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)  # rollouts need the memory
        self._scheduler.step()

    def _token_batch(self, samples: Sequence[Sample], old: Sequence[Tensor] | None) -> TokenBatch:
        ids_NT, attention_NT, mask_NT = self._collate(samples)
        statistics = token_statistics(self.module, ids_NT, attention_NT, mask_NT, self._temperature)
        advantage_N1 = torch.tensor([[sample.advantage] for sample in samples], device=ids_NT.device)
        return TokenBatch(
            log_prob_NT=_spread(statistics.log_prob_M, mask_NT),
            old_log_prob_NT=_spread(torch.cat(tuple(old)), mask_NT) if old else None,
            reference_log_prob_NT=self._reference_log_probs(ids_NT, attention_NT, mask_NT),
            entropy_NT=_spread(statistics.entropy_M, mask_NT),
            advantage_NT=advantage_N1 * mask_NT,
            mask_NT=mask_NT,
        )

    @torch.no_grad()
    def _reference_log_probs(self, ids_NT: Tensor, attention_NT: Tensor, mask_NT: Tensor) -> Tensor | None:
        if self.reference is None:
            return None
        statistics = token_statistics(self.reference, ids_NT, attention_NT, mask_NT, self._temperature)
        return _spread(statistics.log_prob_M, mask_NT)

    @torch.no_grad()
    def _old_log_probs(self, samples: Sequence[Sample], metrics: dict[str, float]) -> list[Tensor]:
        """The trainer's log-probabilities before the first step: generated tokens, one tensor per sample."""
        old: dict[int, Tensor] = {}
        for rows in self._passes(samples):
            part = [samples[row] for row in rows]
            ids_NT, attention_NT, mask_NT = self._collate(part)
            log_prob_M = token_statistics(
                self.module, ids_NT, attention_NT, mask_NT, self._temperature
            ).log_prob_M
            lengths = [sum(sample.trace.mask) for sample in part]
            old.update(zip(rows, log_prob_M.split(lengths), strict=True))
        metrics |= _sampler_gap([(sample, old[row]) for row, sample in enumerate(samples) if sample.sampled])
        return [old[row] for row in range(len(samples))]

    def _passes(self, samples: Sequence[Sample]) -> Iterator[list[int]]:
        """Rows of similar length together, as many as fit into one pass; a row is never split."""
        by_length = sorted(range(len(samples)), key=lambda row: len(samples[row].trace.ids), reverse=True)
        while by_length:
            fits = max(1, self._config.tokens_per_pass // len(samples[by_length[0]].trace.ids))
            yield by_length[:fits]
            by_length = by_length[fits:]

    def _collate(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """Ids, attention and loss mask, padded on the right."""
        width = max(len(sample.trace.ids) for sample in samples)
        shape = (len(samples), width)
        ids_NT, attention_NT = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        mask_NT = torch.zeros(shape, dtype=torch.bool)
        for row, (trace, *_) in enumerate(samples):
            length = len(trace.ids)
            ids_NT[row, :length] = torch.tensor(trace.ids)
            attention_NT[row, :length] = 1
            mask_NT[row, :length] = torch.tensor(trace.mask)
        device = self.module.device
        return ids_NT.to(device), attention_NT.to(device), mask_NT.to(device)


def _sampler_gap(rows: Sequence[tuple[Sample, Tensor]]) -> dict[str, float]:
    """How far the sampler's log-probabilities are from the trainer's, on the same tokens."""
    if not rows:
        return {}
    sampled_M = torch.tensor([value for sample, _ in rows for value in _generated(sample.trace)])
    gap_M = (torch.cat([log_probs for _, log_probs in rows]).cpu() - sampled_M).abs()
    if not gap_M.mean() <= MOST_GAP:
        raise TrainingError(
            f"sampler and trainer differ by {gap_M.mean():.3f} nats per token: this model does more than "
            "hidden states and an output head; train another model"
        )
    return {"sampler_gap_mean": float(gap_M.mean()), "sampler_gap_max": float(gap_M.max())}


def _generated(trace: TokenTrace) -> list[float]:
    return [value for value, generated in zip(trace.log_probs, trace.mask, strict=True) if generated]


def _spread(values_M: Tensor, mask_NT: Tensor) -> Tensor:
    """Values of the selected tokens back at their places, 0 elsewhere."""
    return torch.zeros(mask_NT.shape, dtype=values_M.dtype, device=mask_NT.device).masked_scatter(
        mask_NT, values_M
    )
