"""DAPO (arXiv 2503.14476): clip-higher, token mean, dynamic sampling, overlong shaping."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from pydantic import Field
from torch import Tensor

from palaestra.training.advantages.groups import is_uniform
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import Clipped, ClippedConfig, clipped_loss, token_ratio


class DAPOConfig(ClippedConfig):
    name: Literal["dapo"] = "dapo"
    clip_high: float = Field(default=0.28, ge=0)
    max_tokens: int = Field(default=20_480, ge=1)
    """L_max: a longer answer has the full penalty of -1."""
    soft_tokens: int = Field(default=4_096, ge=1)
    """L_cache: the penalty grows linearly over the last so many tokens before L_max."""


@dataclass(frozen=True)
class DAPO(Clipped):
    config: DAPOConfig

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Drop the groups whose rewards all agree, then shape the rewards of the others."""
        reward_N = batch.given("reward_N")
        informative_N = ~is_uniform(reward_N, batch.given("group_N"))
        penalty_N = overlong_penalty(
            batch.mask_NT.sum(dim=-1), self.config.max_tokens, self.config.soft_tokens
        )
        shaped = replace(batch, reward_N=reward_N + penalty_N.to(reward_N))
        return shaped.with_advantages(self.advantages(shaped)).keeping(informative_N), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−min(ρA, clip(ρ)A), more room above than below; the mean over all tokens."""
        return clipped_loss(batch, token_ratio(batch), self.config)


def overlong_penalty(length_N: Tensor, max_tokens: int, soft_tokens: int) -> Tensor:
    """0 up to L_max − L_cache, falling linearly to −1 at L_max, −1 beyond.

    `length_N` counts generated tokens.
    """
    return ((max_tokens - soft_tokens - length_N) / soft_tokens).clamp(min=-1, max=0)
