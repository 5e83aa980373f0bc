"""Which pairs to compare: a regular graph when nothing is known yet, then the pairs that tell the most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import gcd

import numpy as np
from numpy.typing import NDArray

from palaestra.arena.ratings.posterior import Posterior

TRIES = 200
"""Sets of distances that are compared for the best graph."""


def regular_graph(nodes: int, edges: int) -> list[tuple[int, int]]:
    """Ordered pairs of nodes such that everyone is in equally many, and first in half of them, up to one.

    A circulant graph: for each of a few distances, everyone with whoever stands so far ahead on the circle.
    Of the distances, those are taken from which the differences between nodes can be told best (A-optimality
    among random sets). Beyond N(N-1)/2 edges the pairs come again in the other order, at most once.
    """
    distances = _distances(nodes, min(-(-edges // nodes), nodes // 2))
    pairs = [pair for distance in distances for pair in _cycle(nodes, distance)]
    return (pairs + [(second, first) for first, second in pairs])[:edges]


@lru_cache(maxsize=256)
def _distances(nodes: int, count: int) -> tuple[int, ...]:
    """1, which connects everyone, and the others of the best set."""
    others = np.arange(2, (nodes + 1) // 2)
    if count > len(others):
        return (*range(1, (nodes + 1) // 2), *([nodes // 2] if nodes % 2 == 0 else []))
    if count <= 1:
        return (1,) * count
    random = np.random.default_rng(0)
    candidates = np.stack([np.append(1, random.permutation(others)[: count - 1]) for _ in range(TRIES)])
    angles = 2 * np.pi / nodes * np.arange(1, nodes)
    eigenvalues = (2 - 2 * np.cos(candidates[:, :, None] * angles)).sum(axis=1)
    best = (1 / eigenvalues).sum(axis=1).argmin()
    return tuple(candidates[best].tolist())


def _cycle(nodes: int, distance: int) -> Iterator[tuple[int, int]]:
    """Everyone and whoever stands `distance` ahead, every other step of the way first: a matching."""
    cycles = gcd(nodes, distance)
    length = nodes // cycles
    if length == 2:
        for start in range(cycles):
            yield (start, start + distance) if start % 2 else (start + distance, start)
        return
    for parity in (0, 1):
        for start in range(cycles):
            for step in range(parity, length, 2):
                place = (start + step * distance) % nodes
                yield place, (place + distance) % nodes


def most_telling(
    posterior: Posterior, asked_NN: NDArray[np.int_], among: Sequence[int], count: int
) -> list[tuple[int, int]]:
    """The next pairs to compare, one after the other, each as if the answers on those before were in.

    A pair tells the more the likelier its two are to be equal and the less is known of their difference:
    exp(-z²/2) times the standard deviation of the difference, z being its mean in standard deviations. Only
    pairs `among` these that were `asked` least often (row first, column second) are considered, each once.
    """
    asked_NN = asked_NN.copy()
    chosen: list[tuple[int, int]] = []
    off_NN = np.ones_like(asked_NN, dtype=bool)
    off_NN[np.ix_(among, among)] = False
    np.fill_diagonal(off_NN, True)
    gap_NN = posterior.mean_N[:, None] - posterior.mean_N
    for _ in range(count):
        times_NN = np.where(off_NN, np.iinfo(np.int_).max, asked_NN + asked_NN.T)
        deviation_NN = np.maximum(posterior.difference_deviation_NN, 1e-12)
        telling_NN = np.exp(-0.5 * (gap_NN / deviation_NN) ** 2) * deviation_NN
        telling_NN[times_NN > times_NN.min()] = -1
        # Rounded, so that equals are equal on every machine.
        first, second = divmod(int(telling_NN.round(9).argmax()), len(telling_NN))
        if _times_first(asked_NN, first, second) > _times_first(asked_NN, second, first):
            first, second = second, first
        asked_NN[first, second] += 1
        off_NN[first, second] = off_NN[second, first] = True
        chosen.append((first, second))
        posterior = posterior.after(first, second)
    return chosen


def _times_first(asked_NN: NDArray[np.int_], node: int, other: int) -> tuple[int, int]:
    """How often a node was first: against the other, and in all."""
    return int(asked_NN[node, other]), int(asked_NN[node].sum())
