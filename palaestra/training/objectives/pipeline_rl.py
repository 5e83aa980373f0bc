"""PipelineRL (arXiv 2509.19128): REINFORCE with truncated importance sampling, for stale rollouts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from palaestra.training.advantages.registry import AdvantageName
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import Need, TokenBatch, TokenLoss
from palaestra.training.objectives.policy_gradient import PolicyGradient, PolicyGradientConfig


class PipelineRLConfig(PolicyGradientConfig):
    name: Literal["pipeline-rl"] = "pipeline-rl"
    advantage: AdvantageName = "leave-one-out"
    cap: float = Field(default=5.0, gt=0)
    """c, the largest weight of a token. The paper has 5; the released base config clamps at 1.02."""


@dataclass(frozen=True)
class PipelineRL(PolicyGradient):
    config: PipelineRLConfig

    @property
    def needs(self) -> Collection[Need]:
        return {"sampler_log_prob_NT"}

    @property
    def aggregation(self) -> Aggregation:
        return 1

    def __call__(self, batch: TokenBatch) -> TokenLoss:
        """−sg(min(c, π/μ))·A·log π, summed over the sequence; the mean over sequences.

        μ is what each token was drawn from. The ratio is per token, as released; the paper prints it per
        sequence.
        """
        log_weight_NT = batch.log_prob_NT.detach() - batch.given("sampler_log_prob_NT")
        weight_NT = log_weight_NT.where(batch.mask_NT, 0).exp().clamp(max=self.config.cap)
        metrics = {"weight": weight_NT, "entropy": batch.entropy_NT.detach()}
        return TokenLoss(-weight_NT * batch.advantage_NT * batch.log_prob_NT, metrics)
