"""Ratings from a judge that gives points."""

from __future__ import annotations

import numpy as np

from palaestra.arena.ratings.comparison import Comparisons, Floats
from palaestra.arena.ratings.posterior import Posterior

MARGIN_NOISE = np.array([1 / 16, 1 / 4, 1.0, 4.0, 16.0])
"""Variance of the margin's error in one call, in units of the variance of worth among contestants."""
LEVEL_NOISE = np.array([1 / 4, 1.0, 4.0, 16.0])
"""Variance of the level's error, in units of the margin's: ¼ for two independent errors without a shift."""
ASSUMED_VARIANCE = 1.0
"""Of the margin's error in squared points, as if measured once beforehand."""


def rate_points(comparisons: Comparisons, contestants: int) -> Posterior:
    """Points as linear measurements: a product of Gaussian experts (arXiv 2405.05894), with levels.

    A call that gives s points to i, shown first, and t to j measures two things. Its margin s - t is the
    difference of their worths, plus the position effect, plus an error. Its level (s + t) / 2 is the mean
    of their worths, plus a constant, plus an error that has the shift of this call in it. Worths and
    position effect are normal around 0, nothing is known of the constant. Nor is it known how large the
    errors are: the posteriors for a grid of sizes are mixed by their marginal likelihood, moments matched.

    Shape suffixes: `_C` comparisons, `_P` parameters (worths, position effect, constant), `_G` the grid.
    """
    margin_CP, level_CP = _designs(comparisons, contestants)
    margin_C = comparisons.first_points_C - comparisons.second_points_C
    level_C = (comparisons.first_points_C + comparisons.second_points_C) / 2
    calls_C = comparisons.orders_C
    ridge_G, level_G = (axis.ravel() for axis in np.meshgrid(MARGIN_NOISE, 1 / LEVEL_NOISE))

    prior_PP = np.diag(np.append(np.ones(contestants + 1), 0.0))
    precision_GPP = (
        margin_CP.T @ (calls_C[:, None] * margin_CP)
        + level_G[:, None, None] * (level_CP.T @ (calls_C[:, None] * level_CP))
        + ridge_G[:, None, None] * prior_PP
    )
    target_GP = (calls_C * margin_C) @ margin_CP + level_G[:, None] * ((calls_C * level_C) @ level_CP)
    squares_G = calls_C @ margin_C**2 + level_G * (calls_C @ level_C**2)
    inverse_GPP = np.linalg.inv(precision_GPP)
    mean_GP = np.einsum("gpq,gq->gp", inverse_GPP, target_GP)

    # The scale of all variances is integrated out with an inverse-gamma prior; the constant takes one
    # measurement and the assumed variance gives one.
    measurements = 2 * len(margin_C)
    residual_G = np.maximum(squares_G - (mean_GP * target_GP).sum(axis=1), 0) + ASSUMED_VARIANCE
    evidence_G = (
        (contestants + 1) * np.log(ridge_G)
        + len(margin_C) * np.log(level_G)
        - np.linalg.slogdet(precision_GPP)[1]
        - measurements * np.log(residual_G)
    ) / 2
    noise_G = residual_G / measurements
    covariance_GPP = noise_G[:, None, None] * inverse_GPP
    return Posterior.mixture(evidence_G, mean_GP, covariance_GPP, noise_G, contestants)


def _designs(comparisons: Comparisons, contestants: int) -> tuple[Floats, Floats]:
    """What margins and levels measure, each of shape (C, P)."""
    rows = np.arange(len(comparisons.first_C))
    margin_CP = np.zeros((len(rows), contestants + 2))
    margin_CP[:, :-1] = comparisons.differences(contestants)
    level_CP = np.zeros_like(margin_CP)
    level_CP[rows, comparisons.first_C] = level_CP[rows, comparisons.second_C] = 0.5
    level_CP[:, -1] = 1
    return margin_CP, level_CP
