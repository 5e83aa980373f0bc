"""The static masks that AEPO grew out of (arXiv 2512.12967): no push down where entropy is high."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field
from torch import Tensor

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import sequence_mean
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import PolicyGradient, PolicyGradientConfig, token_ratio


class EntropyMaskedConfig(PolicyGradientConfig):
    name: Literal["entropy-masked"] = "entropy-masked"
    advantage: AdvantageName = "task-standardised"
    level: Literal["token", "sequence"] = "token"
    """Whose entropy is tested: the token's own or the mean of its sequence."""
    threshold: float = Field(default=0.25, ge=0)
    """τ in nats; not published."""


@dataclass(frozen=True)
class EntropyMasked(PolicyGradient):
    config: EntropyMaskedConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"old_log_prob_NT"}

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Advantages times I, which is 0 where A < 0 and H > τ; masked tokens stay in the denominator."""
        batch = batch.with_advantages(self.advantages(batch))
        tested_NT = _TESTED[self.config.level](batch)
        masked_NT = (batch.advantage_NT < 0) & (tested_NT > self.config.threshold)
        return replace(batch, advantage_NT=batch.advantage_NT.masked_fill(masked_NT, 0)), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−ρA without a clip; the token mean."""
        ratio_NT = token_ratio(batch)
        metrics = {"ratio": ratio_NT.detach(), "entropy": batch.entropy_NT.detach()}
        return TokenLoss(-ratio_NT * batch.advantage_NT, metrics)


def _of_sequence(batch: TokenBatch) -> Tensor:
    return sequence_mean(batch.entropy_NT, batch.mask_NT)[:, None]


def _of_token(batch: TokenBatch) -> Tensor:
    return batch.entropy_NT


_TESTED = {"token": _of_token, "sequence": _of_sequence}
