"""From token losses to the loss of a batch, the same however the batch is split into passes and processes."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

from torch import Tensor

Aggregation = Literal["token-mean", "sequence-mean"] | int
"""token-mean: Σ loss / all tokens, so that long sequences weigh more (DAPO).
sequence-mean: the mean in each sequence, then over sequences (GRPO); it under-weights long ones.
A number L: the sum of each sequence / L, then the mean over sequences (Dr. GRPO); 1 is the sequence sum."""


class Totals(NamedTuple):
    """Counts over all parts of one optimizer step, on all processes."""

    tokens: int
    sequences: int
    """Those with at least one token."""

    @classmethod
    def of(cls, mask_NT: Tensor) -> Self:
        return cls(tokens=int(mask_NT.sum()), sequences=int(mask_NT.any(dim=-1).sum()))


def aggregate(loss_NT: Tensor, mask_NT: Tensor, aggregation: Aggregation, totals: Totals) -> Tensor:
    """The part of the loss that these rows contribute: summed over the parts of a batch it is the whole.

    A batch without any token has loss 0, and its gradient is 0.
    """
    loss_NT = loss_NT.where(mask_NT, 0)
    if aggregation == "token-mean":
        return loss_NT.sum() / max(totals.tokens, 1)
    length_N = mask_NT.sum(dim=-1).clamp(min=1) if aggregation == "sequence-mean" else aggregation
    return (loss_NT.sum(dim=-1) / length_N).sum() / max(totals.sequences, 1)


def sequence_mean(values_NT: Tensor, mask_NT: Tensor) -> Tensor:
    """The mean over the tokens of each row; 0 for a row without any. Shape (N,)."""
    return values_NT.where(mask_NT, 0).sum(dim=-1) / mask_NT.sum(dim=-1).clamp(min=1)
