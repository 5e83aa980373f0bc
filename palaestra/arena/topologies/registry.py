"""Topologies by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from palaestra.arena.topologies.adaptive import Adaptive, AdaptiveConfig
from palaestra.arena.topologies.anchor import Anchor, AnchorConfig
from palaestra.arena.topologies.base import ClassicalConfig, Orders, Topology
from palaestra.arena.topologies.double_elimination import DoubleElimination, DoubleEliminationConfig
from palaestra.arena.topologies.halving import Halving, HalvingConfig
from palaestra.arena.topologies.oneshot import Oneshot, OneshotConfig
from palaestra.arena.topologies.reranked import Reranked
from palaestra.arena.topologies.round_robin import RoundRobin, RoundRobinConfig
from palaestra.arena.topologies.single_elimination import SingleElimination, SingleEliminationConfig
from palaestra.arena.topologies.swiss import Swiss, SwissConfig

TopologyName = Literal[
    "round-robin",
    "anchor",
    "single-elimination",
    "double-elimination",
    "swiss",
    "oneshot",
    "adaptive",
    "halving",
]


def _from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


AnyTopologyConfig = Annotated[
    RoundRobinConfig
    | AnchorConfig
    | SingleEliminationConfig
    | DoubleEliminationConfig
    | SwissConfig
    | OneshotConfig
    | AdaptiveConfig
    | HalvingConfig,
    Field(discriminator="name"),
    BeforeValidator(_from_name),
]
"""A bare name is enough."""

_any_config: TypeAdapter[AnyTopologyConfig] = TypeAdapter(AnyTopologyConfig)


def topology(choice: TopologyName | AnyTopologyConfig, contestants: Sequence[str], seed: int = 0) -> Topology:
    """A fresh tournament between distinct contestants; the first one is the anchor where there is one."""
    config = _any_config.validate_python(choice)
    board = _fresh(config, contestants, seed)
    if isinstance(config, ClassicalConfig) and config.rerank:
        return Reranked(contestants, board)
    return board


def _fresh(config: AnyTopologyConfig, contestants: Sequence[str], seed: int) -> Topology:
    match config:
        case RoundRobinConfig():
            return RoundRobin(contestants, seed)
        case AnchorConfig():
            return Anchor(contestants, seed)
        case SingleEliminationConfig():
            return SingleElimination(contestants, seed)
        case DoubleEliminationConfig():
            return DoubleElimination(contestants, seed, config)
        case SwissConfig():
            return Swiss(contestants, seed, config)
        case OneshotConfig():
            return Oneshot(contestants, seed, config)
        case AdaptiveConfig():
            return Adaptive(contestants, seed, config)
        case HalvingConfig():
            return Halving(contestants, seed, config)


def call_count(choice: TopologyName | AnyTopologyConfig, contestants: int, orders: Orders = "both") -> int:
    """How many judge calls a tournament takes at most, when none has to be repeated.

    `orders` is the tournament's own; budgeted topologies ask in their way.
    """
    board = topology(choice, [str(seat) for seat in range(contestants)])
    return board.match_count * (2 if (board.orders or orders) == "both" else 1)


def match_count(choice: TopologyName | AnyTopologyConfig, contestants: int) -> int:
    """How many matches a tournament takes at most."""
    return topology(choice, [str(seat) for seat in range(contestants)]).match_count
