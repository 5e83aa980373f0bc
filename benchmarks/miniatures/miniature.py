"""What a miniature is, and what its seeds say of the claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from scipy.stats import t as student_t

Expected = Literal["above", "below", "equal"]
Outcome = Literal["holds", "not told", "reversed"]


@dataclass(frozen=True)
class Comparison:
    """Two figures that every seed gives, and how the paper says that they stand to each other."""

    what: str
    """The quantity, with its unit."""
    method: str
    """Key of the method's figure in what a seed gives."""
    beside: str
    """Key of the figure that it is held against."""
    expected: Expected = "above"
    margin: float = 0.0
    """Of `equal`: the two agree where the whole interval of the difference lies within ± this much."""


@dataclass(frozen=True)
class Miniature:
    """One claim of a paper on a model and a task that are small enough for many seeds."""

    name: str
    claim: str
    source: str
    """Paper and section."""
    setting: str
    """Model, task, budget: what a reader needs to judge the figure."""
    comparisons: tuple[Comparison, ...]
    measure: Callable[[int], Mapping[str, float]]
    """Figures of one seed by key. Whatever is random follows from the seed; all methods of a seed see the
    same tasks, start weights and budget."""
    first_seed: int = 0
    """Those below it were looked at while the miniature was set otherwise."""
    remark: str = ""
    """Why a direction does not reproduce, as far as it is known."""


@dataclass(frozen=True)
class Effect:
    """A comparison over all seeds: the mean difference, paired by seed, with its 95 % t interval."""

    comparison: Comparison
    method: float
    beside: float
    difference: float
    low: float
    high: float
    outcome: Outcome


def effect(comparison: Comparison, figures: Sequence[Mapping[str, float]]) -> Effect:
    """
    Raises:
        ValueError: fewer than two seeds, which have no interval.
    """
    if len(figures) < 2:
        raise ValueError("an interval needs two seeds or more")
    pairs = [(figure[comparison.method], figure[comparison.beside]) for figure in figures]
    differences = [method - beside for method, beside in pairs]
    mean, count = fmean(differences), len(differences)
    half = float(student_t.ppf(0.975, count - 1)) * stdev(differences) / math.sqrt(count)
    low, high = mean - half, mean + half
    return Effect(
        comparison,
        fmean(method for method, _ in pairs),
        fmean(beside for _, beside in pairs),
        mean,
        low,
        high,
        _outcome(comparison, low, high),
    )


def _outcome(comparison: Comparison, low: float, high: float) -> Outcome:
    match comparison.expected:
        case "above":
            return "holds" if low > 0 else "reversed" if high < 0 else "not told"
        case "below":
            return "holds" if high < 0 else "reversed" if low > 0 else "not told"
        case "equal":
            margin = comparison.margin
            apart = low > margin or high < -margin
            return "holds" if -margin < low and high < margin else "reversed" if apart else "not told"
