"""Ratings from a judge that names winners only."""

from __future__ import annotations

import numpy as np

from palaestra.arena.ratings.comparison import Comparisons, Floats
from palaestra.arena.ratings.posterior import Posterior

PRIOR_PRECISION = np.array([0.1, 1.0, 10.0])
"""Of worths and position effect, per squared logit."""
LONGEST_STEP, PRECISE = 4.0, 1e-9
"""Logits: by which one Newton step may move a parameter without overshooting; when it moves no more."""


def rate_winners(
    comparisons: Comparisons, contestants: int, precision_G: Floats = PRIOR_PRECISION
) -> Posterior:
    """The model of Bradley and Terry with a normal prior, a tie being half a win for either side.

    The log-odds that the first wins are the difference of the worths plus the position effect. Over both
    orders that effect cancels out, and two calls are counted. Laplace's approximation around the maximum
    for each of a few prior precisions, mixed by their marginal likelihood, moments matched.

    Shape suffixes: `_C` comparisons, `_P` parameters (worths, then position effect), `_G` prior precisions.
    """
    design_CP = comparisons.differences(contestants)
    won_C, calls_C = comparisons.first_points_C / 10, comparisons.orders_C
    mode_GP = np.stack([_mode(design_CP, won_C, calls_C, precision) for precision in precision_G])
    logit_GC = mode_GP @ design_CP.T
    information_GC = calls_C * _slope(logit_GC)
    hessian_GPP = np.stack(
        [
            _hessian(design_CP, information_C, precision)
            for information_C, precision in zip(information_GC, precision_G, strict=True)
        ]
    )
    evidence_G = (
        (won_C * logit_GC - np.logaddexp(0, logit_GC)) @ calls_C
        - precision_G * (mode_GP**2).sum(axis=1) / 2
        + (contestants + 1) * np.log(precision_G) / 2
        - np.linalg.slogdet(hessian_GPP)[1] / 2
    )
    calls = calls_C.sum()
    noise_G = calls / information_GC.sum(axis=1) if calls else np.full(len(precision_G), 4.0)
    return Posterior.mixture(evidence_G, mode_GP, np.linalg.inv(hessian_GPP), noise_G, contestants)


def _mode(design_CP: Floats, won_C: Floats, calls_C: Floats, precision: float) -> Floats:
    """The most probable parameters, by Newton's method on a strictly concave function."""
    mode_P: Floats = np.zeros(design_CP.shape[1])
    step_P = np.ones_like(mode_P)
    while np.abs(step_P).max() > PRECISE:
        logit_C = design_CP @ mode_P
        gradient_P = design_CP.T @ (calls_C * (won_C - _logistic(logit_C))) - precision * mode_P
        hessian_PP = _hessian(design_CP, calls_C * _slope(logit_C), precision)
        step_P = np.linalg.solve(hessian_PP, gradient_P)
        mode_P = mode_P + step_P / max(1.0, np.abs(step_P).max() / LONGEST_STEP)
    return mode_P


def _hessian(design_CP: Floats, information_C: Floats, precision: float) -> Floats:
    hessian_PP: Floats = design_CP.T @ (information_C[:, None] * design_CP)
    hessian_PP = hessian_PP + precision * np.eye(len(hessian_PP))
    return hessian_PP


def _logistic(logit: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(logit / 2)


def _slope(logit: Floats) -> Floats:
    chance = _logistic(logit)
    return chance * (1 - chance)
