"""pass@k: how probable it is that one of k answers is right (Chen et al., arXiv 2107.03374)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from palaestra.core.errors import TrainingError


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """1 − C(n−c, k) / C(n, k), unbiased, of n samples of which c are correct.

    Computed as 1 − Π (1 − k/i) over i from n−c+1 to n, which overflows for no n.

    >>> round(pass_at_k(samples=256, correct=10, k=8), 7)
    0.2762462

    Raises:
        TrainingError: there are fewer samples than k, or more correct ones than samples.
    """
    if not 1 <= k <= samples or not 0 <= correct <= samples:
        raise TrainingError(
            f"pass@{k} of {correct} correct in {samples} samples is not defined; draw at least k samples"
        )
    if samples - correct < k:
        return 1.0
    missed = 1.0
    for i in range(samples - correct + 1, samples + 1):
        missed *= 1 - k / i
    return 1 - missed


def pass_curve(samples: int, correct: Sequence[int]) -> list[float]:
    """The mean over tasks of pass@1, pass@2, … pass@n, from how many of each task's n samples are correct."""
    return [fmean(pass_at_k(samples, each, k) for each in correct) for k in range(1, samples + 1)]
