"""What objectives of preferences have in common: pairs, and the Bradley–Terry likelihood."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from palaestra.core.errors import TrainingError
from palaestra.training.objectives.aggregation import Aggregation
from palaestra.training.objectives.base import Objective, TokenBatch, TokenLoss


class Preference(Objective):
    """Base of the objectives whose rows come in pairs, the preferred answer first."""

    @property
    def aggregation(self) -> Aggregation:
        return "sequence-mean"

    @property
    def rows_together(self) -> int:
        return 2


def bradley_terry(preferred: Tensor, other: Tensor, margin: float = 0.0) -> Tensor:
    """−log σ(preferred − other − margin) of two rewards: log 2 where they are equal.

    The loss of a reward model on labelled pairs (AlpacaFarm, arXiv 2305.14387).
    """
    return -logsigmoid(preferred - other - margin)


def preference_loss(batch: TokenBatch, reward_N: Tensor, margin: float = 0.0) -> TokenLoss:
    """The loss of each pair on all tokens of both its rows, so that the sequence mean is that over pairs.

    Raises:
        TrainingError: the rows are no pairs.
    """
    if len(reward_N) % 2:
        raise TrainingError(
            f"{len(reward_N)} rows are no pairs of a preferred and another answer; give them two by two"
        )
    preferred_P, other_P = reward_N[0::2], reward_N[1::2]
    loss_P = bradley_terry(preferred_P, other_P, margin)
    metrics = {
        "margin": _on_rows(preferred_P - other_P, batch).detach(),
        "accuracy": _on_rows((preferred_P > other_P).to(reward_N.dtype), batch),
        "entropy": batch.entropy_NT.detach(),
    }
    return TokenLoss(_on_rows(loss_P, batch), metrics)


def _on_rows(value_P: Tensor, batch: TokenBatch) -> Tensor:
    return value_P.repeat_interleave(2)[:, None].expand_as(batch.log_prob_NT)
