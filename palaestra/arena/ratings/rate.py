"""One posterior from whatever comparisons there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, pvariance

from palaestra.arena.ratings.bradley_terry import rate_winners
from palaestra.arena.ratings.comparison import Comparison, Comparisons
from palaestra.arena.ratings.gaussian import rate_points
from palaestra.arena.ratings.posterior import Posterior


def rate(comparisons: Iterable[Comparison], contestants: int) -> Posterior:
    """The worth of contestants 0 to N-1, in points; in logits where all points only name winners.

    The same comparisons in any order give the same posterior, to the last bit.
    """
    columns = Comparisons.of(comparisons)
    rated = rate_winners if columns.name_winners_only else rate_points
    return rated(columns, contestants)


def reliability(scores: Sequence[float], standard_errors: Sequence[float]) -> float:
    """The share of the spread among contestants that a posterior has found: 0 nothing, 1 all of it.

    `scores` are posterior means and spread less than the worths do, by their mean squared standard error.
    Normalised scores times the square root of this are the expected normalised worths: a group of which
    the judge could tell little then teaches little.
    """
    spread = pvariance(scores)
    error = fmean(error**2 for error in standard_errors)
    return spread / (spread + error) if spread else 0.0
