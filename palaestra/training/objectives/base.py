"""What every objective takes and gives.

Shape suffixes: `_N` rollouts, `_T` tokens. An objective is a pure function of these tensors: no model, no I/O
and no settings that belong to another objective.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True)
class TokenBatch:
    """Per-token quantities; entries where `mask_NT` is False are 0 and mean nothing."""

    log_prob_NT: Tensor
    """Under the policy that is being updated; carries the gradient."""
    old_log_prob_NT: Tensor | None
    """Under the policy that the rollouts were drawn from."""
    reference_log_prob_NT: Tensor | None
    """Under the frozen reference."""
    entropy_NT: Tensor
    advantage_NT: Tensor
    mask_NT: Tensor
    """True on generated tokens."""


class TokenLoss(NamedTuple):
    loss_NT: Tensor
    metrics: Mapping[str, Tensor]
    """Per-token (`_NT`) quantities to log; the updater reports their mean over generated tokens."""


class Objective(Protocol):
    @property
    def needs(self) -> Collection[Literal["old", "reference"]]:
        """Log-probabilities beside the policy's own that the objective reads; others are None."""
        ...

    def __call__(self, batch: TokenBatch) -> TokenLoss: ...


def token_mean(values_NT: Tensor, mask_NT: Tensor, tokens: int) -> Tensor:
    """Σ values / tokens, where `tokens` counts the generated tokens of the whole batch, not of this part.

    Summed over the parts of a batch it is the token mean, however the batch was split.
    """
    return values_NT.where(mask_NT, 0).sum() / max(tokens, 1)
