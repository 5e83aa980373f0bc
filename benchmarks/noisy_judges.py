"""Judges that err in known ways, on contestants whose worth is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from palaestra.core.verdict import NoVerdict, Verdict

JudgeKind = Literal["scores", "verdicts"]
Floats = NDArray[np.floating[Any]]

ATTEMPTS = 6
"""Different answers to one question; more are not asked."""
LEVEL, SHIFT, BIAS = 6.5, 0.5, 0.4
"""Points: of an average contestant; standard deviation of what moves both of a call; for who is first."""
PERSISTENT: Mapping[JudgeKind, float] = {"scores": 0.3, "verdicts": 0.1}
"""Share of the variance of a margin's error that is the same whenever this pair is asked, in either order."""
FAILURES = 0.02
"""Share of the calls that give no verdict."""

FAILED = NoVerdict(reason="failed")


@dataclass(frozen=True)
class World:
    """A group of contestants, and what the judge answers to every question about them.

    Shape suffixes: `_N` contestants, `_A` attempts; of two `_N` the first is shown first.
    """

    worth_N: Floats
    """Standard normal; that of the first, the anchor, is 0."""
    first_ANN: Floats
    second_ANN: Floats
    fails_ANN: NDArray[np.bool_]

    def judge(self, first: int, second: int, attempt: int) -> Verdict | NoVerdict:
        question = attempt % ATTEMPTS, first, second
        if self.fails_ANN[question]:
            return FAILED
        return Verdict.from_scores(float(self.first_ANN[question]), float(self.second_ANN[question]))


def draw_world(kind: JudgeKind, accuracy: float, contestants: int, seed: int) -> World:
    """A group under a judge of which one call names the better of two random contestants with `accuracy`."""
    random = np.random.default_rng([seed, contestants])
    worth_N = random.standard_normal(contestants)
    worth_N[0] = 0
    pair_NN = random.standard_normal((contestants, contestants))
    pair_NN = np.triu(pair_NN, k=1) - np.triu(pair_NN, k=1).T
    shape = (ATTEMPTS, contestants, contestants)
    noise_ANN = unit_noise(kind, random, shape, pair_NN) * noise_size(kind, accuracy)
    margin_ANN = worth_N[:, None] - worth_N + BIAS + noise_ANN
    fails_ANN = random.random(shape) < FAILURES
    if kind == "verdicts":
        return World(worth_N, 10.0 * (margin_ANN > 0), 10.0 * (margin_ANN <= 0), fails_ANN)
    own = random.standard_normal(shape) * np.sqrt((1 - PERSISTENT[kind]) / 4) * noise_size(kind, accuracy)
    level_ANN = LEVEL + (worth_N[:, None] + worth_N) / 2 + SHIFT * random.standard_normal(shape) + own
    first_ANN, second_ANN = (np.clip(level_ANN + sign * margin_ANN / 2, 0, 10).round(1) for sign in (1, -1))
    return World(worth_N, first_ANN, second_ANN, fails_ANN)


def unit_noise(kind: JudgeKind, random: np.random.Generator, shape: tuple[int, ...], pair: Floats) -> Floats:
    """Errors of margins with variance 1: a part of the pair's own, the rest of the call's."""
    if kind == "verdicts":
        own: Floats = random.logistic(size=shape) * np.sqrt(3) / np.pi
    else:
        own = random.standard_normal(shape)
    noise: Floats = np.sqrt(1 - PERSISTENT[kind]) * own + np.sqrt(PERSISTENT[kind]) * pair
    return noise


@lru_cache
def noise_size(kind: JudgeKind, accuracy: float) -> float:
    """The standard deviation of the margin's error that makes one call right so often, but for its bias."""
    random = np.random.default_rng(0)
    gap = np.sqrt(2) * random.standard_normal(200_000)
    noise = unit_noise(kind, random, gap.shape, random.standard_normal(gap.shape))
    low, high = 0.0, 100.0
    while high - low > 1e-4:
        size = (low + high) / 2
        right = np.mean((gap + size * noise > 0) == (gap > 0))
        low, high = (size, high) if right > accuracy else (low, size)
    return low
