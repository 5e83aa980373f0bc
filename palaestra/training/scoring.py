"""What is known of samples before an update: log-probabilities by several accounts, without gradient.

Shape suffixes: `_N` rollouts, `_T` generated tokens of each, `_M` all of them in row-major order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from palaestra.core.errors import TrainingError
from palaestra.models.log_probs import token_statistics
from palaestra.training.critic import Critic
from palaestra.training.distributions import ContrastiveLabels, Mixture
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.off_policy import effective_sample_size, sequence_weights, token_weights
from palaestra.training.samples import Sample, Tokens, collate, lengths_to_pack, packed

MOST_GAP = 0.1
"""Nats, on average over a batch, by which sampler and trainer may differ on the tokens that were sampled."""


class Scorer:
    """Runs models over samples of any number, packed by length."""

    def __init__(
        self, module: PreTrainedModel, temperature: float, tokens_per_pass: int, logits_at_once: int
    ) -> None:
        self._module = module
        self._temperature = temperature
        self._tokens_per_pass = tokens_per_pass
        self._logits_at_once = logits_at_once

    def generated(self, samples: Sequence[Sample]) -> Tensor:
        """True on as many places of each row as it has generated tokens. Shape (N, T)."""
        length_N = torch.tensor([sample.generated for sample in samples], device=self._module.device)
        return torch.arange(int(length_N.max()), device=length_N.device) < length_N[:, None]

    def statistics(self, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy of each generated token under the policy, each of shape (N, T)."""

        def score(tokens: Tokens) -> tuple[Tensor, ...]:
            return token_statistics(self._module, *tokens, self._temperature, self._logits_at_once)

        log_prob_NT, entropy_NT = self._over_passes(samples, score)
        return log_prob_NT, entropy_NT

    def chosen(self, samples: Sequence[Sample], distribution: Mixture) -> Tensor:
        """Log-probability of each generated token under other models. Shape (N, T)."""

        def score(tokens: Tokens) -> tuple[Tensor]:
            return (distribution.chosen(tokens, self._temperature, self._logits_at_once),)

        return self._over_passes(samples, score)[0]

    def expertise(self, samples: Sequence[Sample], contrast: ContrastiveLabels) -> Tensor:
        """KL(expert ‖ amateur) before each generated token. Shape (N, T)."""

        def score(tokens: Tokens) -> tuple[Tensor]:
            return (contrast.expertise(tokens, self._temperature, self._logits_at_once),)

        return self._over_passes(samples, score)[0]

    def values(self, samples: Sequence[Sample], critic: Critic) -> Tensor:
        """The critic's value before each generated token. Shape (N, T)."""
        return self._over_passes(samples, lambda tokens: (critic(tokens, tokens.generated_NT),))[0]

    def sampler_log_probs(self, samples: Sequence[Sample], otherwise_NT: Tensor) -> Tensor:
        """The sampler's own account; for what was not sampled, the other one. Shape (N, T)."""
        sampler_NT = otherwise_NT.clone()
        for row, sample in enumerate(samples):
            if sample.sampled:
                log_probs = sample.log_probs
                sampler_NT[row, : len(log_probs)] = torch.tensor(log_probs)
        return sampler_NT

    @torch.no_grad()
    def _over_passes(
        self, samples: Sequence[Sample], score: Callable[[Tokens], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """The values that `score` gives for the generated tokens of each pass, laid out as (N, T)."""
        generated_NT = self.generated(samples)
        found: list[Tensor] = []
        for rows in packed(lengths_to_pack(samples), self._tokens_per_pass):
            values = score(collate([samples[row] for row in rows], self._module.device))
            found = found or [torch.zeros(generated_NT.shape, device=generated_NT.device) for _ in values]
            where_NT = generated_NT[rows]
            for all_NT, value_M in zip(found, values, strict=True):
                all_NT[rows] = torch.zeros_like(all_NT[rows]).masked_scatter(where_NT, value_M)
        return tuple(found)


def sampler_metrics(batch: TokenBatch, samples: Sequence[Sample]) -> dict[str, float]:
    """How far the sampler is from the trainer on the same tokens, and what it leaves of the samples.

    Of the tokens that were sampled and that the trainer has looked at: `old_log_prob_NT` is NaN on others.
    The effective sample size is that of the weights trainer / sampler: over tokens, each by itself, and over
    whole sequences. 1 is what exact agreement gives.

    Raises:
        TrainingError: they are too far from each other to be the same policy.
    """
    log_prob_NT, sampler_NT = batch.given("old_log_prob_NT"), batch.given("sampler_log_prob_NT")
    sampled_N = torch.tensor([sample.sampled for sample in samples], device=log_prob_NT.device)
    sampled_NT = batch.mask_NT & sampled_N[:, None] & ~log_prob_NT.isnan()
    if not sampled_NT.any():
        return {}
    gap_M = (log_prob_NT - sampler_NT)[sampled_NT].abs()
    if not gap_M.mean() <= MOST_GAP:
        raise TrainingError(
            f"sampler and trainer differ by {gap_M.mean():.3f} nats per token: the answers are of older "
            "weights, a server gives no processed log-probabilities, or this model does more than hidden "
            "states and an output head"
        )
    token_NT = token_weights(log_prob_NT, sampler_NT, sampled_NT)
    sequence_N = sequence_weights(log_prob_NT, sampler_NT, sampled_NT)[:, 0]
    return {
        "sampler_gap_mean": float(gap_M.mean()),
        "sampler_gap_max": float(gap_M.max()),
        "effective_sample_size_tokens": float(effective_sample_size(token_NT[sampled_NT])),
        "effective_sample_size_sequences": float(effective_sample_size(sequence_N[sampled_NT.any(dim=-1)])),
    }
