"""REINFORCE (Williams, 1992), on rewards as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import PolicyGradient, PolicyGradientConfig


class ReinforceConfig(PolicyGradientConfig):
    name: Literal["reinforce"] = "reinforce"
    advantage: AdvantageName = "reward"
    """`correct` makes it the 1–0 arm of RL's Razor: imitation of the policy's own right answers."""


@dataclass(frozen=True)
class Reinforce(PolicyGradient):
    config: ReinforceConfig

    @property
    def aggregation(self) -> Aggregation:
        return 1

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−A·log π(y), summed over the sequence; the mean over sequences."""
        return TokenLoss(-batch.advantage_NT * batch.log_prob_NT, {"entropy": batch.entropy_NT.detach()})
