"""Topologies by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from palaestra.arena.topologies.anchor import Anchor
from palaestra.arena.topologies.base import Topology
from palaestra.arena.topologies.round_robin import RoundRobin
from palaestra.arena.topologies.single_elimination import SingleElimination

TopologyName = Literal["round-robin", "anchor", "single-elimination"]


class _TopologyClass(Protocol):
    def __call__(self, contestants: Sequence[str], seed: int = 0) -> Topology: ...

    def match_count(self, contestants: int) -> int: ...


_TOPOLOGIES: Mapping[TopologyName, _TopologyClass] = {
    "round-robin": RoundRobin,
    "anchor": Anchor,
    "single-elimination": SingleElimination,
}


def topology(name: TopologyName, contestants: Sequence[str], seed: int = 0) -> Topology:
    """A fresh tournament between distinct contestants; the first one is the anchor where there is one."""
    return _TOPOLOGIES[name](contestants, seed)


def match_count(name: TopologyName, contestants: int) -> int:
    """How many matches a tournament takes; judge calls are twice as many when both orders are asked."""
    return _TOPOLOGIES[name].match_count(contestants)
