"""KL(policy ‖ reference) from the sampled tokens: estimators for the loss and for the reward.

With d = log π_ref − log π (Schulman, "Approximating KL Divergence", 2020). k1 and k3 are unbiased; they
differ in what their gradient does: in the loss, on-policy, k1 has no expected gradient, k2 has that of
KL(π ‖ π_ref), and k3 that of KL(π_ref ‖ π). In the reward k1 gives that of KL(π ‖ π_ref).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from pydantic import Field
from torch import Tensor

from palaestra.core.record import Record
from palaestra.training.objectives.base import TokenBatch, TokenLoss

Estimator = Literal["k1", "k2", "k3"]


def k1(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """−d: unbiased, negative at times."""
    return log_prob - reference_log_prob


def k2(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """d²/2."""
    return (reference_log_prob - log_prob).square() / 2


def k3(log_prob: Tensor, reference_log_prob: Tensor) -> Tensor:
    """exp(d) − d − 1 ≥ 0: unbiased, of lower variance than k1."""
    d = reference_log_prob - log_prob
    return d.exp() - d - 1


ESTIMATORS: Mapping[Estimator, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


class KLConfig(Record):
    """Base of the settings of objectives with a KL term in their loss."""

    kl: float = Field(default=0.0, ge=0)
    """β, the weight of KL(policy ‖ reference) in the loss; 0 needs no reference."""
    kl_estimator: Estimator = "k3"


def with_kl(loss: TokenLoss, batch: TokenBatch, config: KLConfig) -> TokenLoss:
    """loss + β · KL(policy ‖ reference) for each token."""
    if config.kl == 0:
        return loss
    kl_NT = ESTIMATORS[config.kl_estimator](batch.log_prob_NT, batch.given("reference_log_prob_NT"))
    return loss.plus(config.kl * kl_NT, kl_to_reference=kl_NT.detach())
