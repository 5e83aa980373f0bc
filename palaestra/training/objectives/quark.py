"""Quark (arXiv 2205.13636) as in AlpacaFarm (arXiv 2305.14387): imitate the best quarter of the rollouts."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.advantages.groups import checked
from palaestra.training.objectives.base import Need, Objective, TokenBatch, TokenLoss


class QuarkConfig(Record):
    name: Literal["quark"] = "quark"
    bins: int = Field(default=4, ge=1)
    """Rollouts are ranked by reward into so many bins; the best one is imitated."""
    kl: float = Field(default=0.05, ge=0)
    """β, the weight of KL(policy ‖ reference), exact over the vocabulary; 0 needs no reference."""


@dataclass(frozen=True)
class Quark(Objective):
    config: QuarkConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"reference_kl_NT"} if self.config.kl > 0 else set()

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        """Drop all but the best bin of the batch."""
        return batch.keeping(in_best_bin(batch.given("reward_N"), self.config.bins)), self

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−log π + β·KL(π ‖ π_ref); the mean over all tokens."""
        loss = TokenLoss(-batch.log_prob_NT, {"entropy": batch.entropy_NT.detach()})
        if self.config.kl == 0:
            return loss
        kl_NT = batch.given("reference_kl_NT")
        return loss.plus(self.config.kl * kl_NT, kl_to_reference=kl_NT.detach())


def in_best_bin(reward_N: Tensor, bins: int) -> Tensor:
    """Whether each rollout is among the best ⌈N / bins⌉; the first ones where rewards are equal.

    The released code rounds down and never uses the remainder.
    """
    best = checked(reward_N).argsort(descending=True, stable=True)[: math.ceil(len(reward_N) / bins)]
    return torch.zeros_like(reward_N, dtype=torch.bool).index_fill(0, best, True)
