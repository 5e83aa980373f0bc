"""AEPO (QwenLong-L1.5, arXiv 2512.12967): negative gradients are let in and kept out by the batch's entropy.

The released snippet filters without memory, in the opposite direction and by dropping rows; this follows the
paper: hysteresis, and masked rows stay in the denominator.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import sequence_mean
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import PolicyGradient, PolicyGradientConfig, token_ratio


class AEPOConfig(PolicyGradientConfig):
    name: Literal["aepo"] = "aepo"
    advantage: AdvantageName = "task-standardised"
    entropy_low: float = Field(default=0.135, ge=0)
    """Nats. Below it, negative advantages come back. Not published: read off the paper's entropy plot."""
    entropy_high: float = Field(default=0.25, ge=0)
    """Nats. Above it, negative advantages are masked: the update becomes weighted imitation."""

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if self.entropy_low > self.entropy_high:
            raise ValueError(
                "entropy_low is above entropy_high; it must be below, with room to rest in between"
            )
        return self


class AEPOState(Record):
    use_negatives: bool = True


@dataclass(frozen=True)
class AEPO(PolicyGradient):
    config: AEPOConfig
    state: AEPOState = field(default_factory=AEPOState)

    @property
    def needs(self) -> Collection[Need]:
        return {"old_log_prob_NT"}

    def stored(self) -> dict[str, Any]:
        return self.state.model_dump()

    def restored(self, stored: Mapping[str, Any]) -> Self:
        return replace(self, state=AEPOState.model_validate(stored))

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Decide by the batch's entropy whether sequences of negative advantage count in this batch."""
        state = controlled(self.state, batch_entropy(batch.entropy_NT, batch.mask_NT), self.config)
        advantage_N = self.advantages(batch)
        if not state.use_negatives:
            advantage_N = advantage_N.clamp(min=0)
        return batch.with_advantages(advantage_N), replace(self, state=state)

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−ρA without a clip: the method takes one step with each batch, so that ρ is 1; the token mean."""
        ratio_NT = token_ratio(batch)
        metrics = {"ratio": ratio_NT.detach(), "entropy": batch.entropy_NT.detach()}
        return TokenLoss(-ratio_NT * batch.advantage_NT, metrics)


def batch_entropy(entropy_NT: Tensor, mask_NT: Tensor) -> float:
    """H_B: the mean over sequences of the mean over their tokens, in nats; 0 for a batch without tokens."""
    sequences = max(int(mask_NT.any(dim=-1).sum()), 1)
    return float(sequence_mean(entropy_NT, mask_NT).sum() / sequences)


def controlled(state: AEPOState, entropy: float, config: AEPOConfig) -> AEPOState:
    """Off above the band, on below it, in between as before."""
    if entropy > config.entropy_high:
        return AEPOState(use_negatives=False)
    if entropy < config.entropy_low:
        return AEPOState(use_negatives=True)
    return state
