"""Boards for the tests of topologies: names, plays and judges without a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from palaestra.arena.topologies.base import Outcome, Pairing, Topology
from palaestra.arena.topologies.registry import (
    AnyTopologyConfig,
    TopologyName,
)

ALL: Sequence[TopologyName] = get_args(TopologyName)
BUDGETED: Sequence[TopologyName] = ("oneshot", "adaptive", "halving")
CLASSICAL = [name for name in ALL if name not in BUDGETED]
SEEDLESS = [name for name in CLASSICAL if name != "swiss"]
"""Those in which the seed decides on nothing but who is named first, and on ties."""
EXACT = [*CLASSICAL[:2], *BUDGETED]
"""Those that find the whole order when points are exact."""

law = settings(max_examples=60, deadline=None)
any_topology = st.sampled_from(ALL)
sizes = st.integers(min_value=1, max_value=19)
seeds = st.integers(min_value=0, max_value=2**32)


def names(count: int) -> list[str]:
    return [f"c{number}" for number in range(count)]


def play(
    board: Topology, outcome: Callable[[Pairing], Outcome | None], arrival: random.Random | None = None
) -> list[Pairing]:
    """Play to the end; with `arrival`, outcomes come in at random. Gives the matches as they were played."""
    under_way, played = list(board.ready()), []
    while under_way:
        pairing = under_way.pop(arrival.randrange(len(under_way)) if arrival else 0)
        board.record(pairing, outcome(pairing))
        played.append(pairing)
        under_way += board.ready()
    return played


def by_strength(strengths: Mapping[str, float]) -> Callable[[Pairing], Outcome]:
    """A judge without noise: the points are the strengths."""
    return lambda pairing: Outcome(strengths[pairing.first], strengths[pairing.second])


def noisy(seed: int, failures: float = 0.0) -> Callable[[Pairing], Outcome | None]:
    """Coarse points, with draws, that follow from the pairing alone, whenever it is asked."""

    def outcome(pairing: Pairing) -> Outcome | None:
        draw = random.Random(f"{seed} {pairing}")
        return None if draw.random() < failures else Outcome(draw.randint(3, 7), draw.randint(3, 7))

    return outcome


def topology_named(name: str, **config: str | int) -> AnyTopologyConfig:
    return TypeAdapter[AnyTopologyConfig](AnyTopologyConfig).validate_python({"name": name, **config})
