"""The loop that every turn-based agent shares, as a graph whose state is two counters.

Messages, results and variables stay with the agent and its sandbox. A graph state that carried them would be
copied into every checkpoint, so that checkpoints grow with the square of the turns.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from palaestra.core.errors import BudgetExceeded
from palaestra.core.events import StepTaken

NODES_WITHOUT_LIMIT = 1_000_000
"""langgraph wants a number; a budget of calls, tokens, cost or time ends the agent long before."""


class Player(Protocol):
    """One agent at work on one task."""

    @property
    def turns(self) -> int | None:
        """Turns that it may take; None is any number."""
        ...

    async def think(self, turn: int) -> None:
        """Ask the model what to do. Turns count from 1."""
        ...

    async def act(self, turn: int) -> bool:
        """Do what the model said; True when it gave its answer."""
        ...

    async def conclude(self) -> None:
        """The turns are used up: make the best of what there is."""
        ...


class Progress(TypedDict):
    turn: int
    answered: bool


@dataclass(frozen=True)
class Seat:
    """What the nodes work on, outside the state."""

    player: Player


async def _think(state: Progress, runtime: Runtime[Seat]) -> dict[str, int]:
    turn = state["turn"] + 1
    await runtime.context.player.think(turn)
    return {"turn": turn}


async def _act(state: Progress, runtime: Runtime[Seat]) -> dict[str, bool]:
    return {"answered": await runtime.context.player.act(state["turn"])}


async def _conclude(state: Progress, runtime: Runtime[Seat]) -> dict[str, bool]:
    await runtime.context.player.conclude()
    return {"answered": False}


def _next(state: Progress, runtime: Runtime[Seat]) -> str:
    if state["answered"]:
        return END
    turns = runtime.context.player.turns
    return "conclude" if turns is not None and state["turn"] >= turns else "think"


@functools.cache
def _loop() -> CompiledStateGraph[Progress, Seat, Progress, Progress]:
    graph = StateGraph(Progress, context_schema=Seat)
    graph.add_node("think", _think)
    graph.add_node("act", _act)
    graph.add_node("conclude", _conclude)
    graph.add_conditional_edges(START, _next, ["think", "conclude", END])
    graph.add_edge("think", "act")
    graph.add_conditional_edges("act", _next, ["think", "conclude", END])
    graph.add_edge("conclude", END)
    return graph.compile()


async def play(player: Player, taken: Sequence[StepTaken] = ()) -> None:
    """Take turns until there is an answer, after those that earlier processes have taken.

    Raises:
        BudgetExceeded: the turns were used up before; the player has concluded.
    """
    ended = any(step.checkpoint is not None and step.checkpoint.finished for step in taken)
    answered = ended and (player.turns is None or len(taken) <= player.turns)
    if not ended:
        nodes = NODES_WITHOUT_LIMIT if player.turns is None else 2 * player.turns + 2
        start: Progress = {"turn": len(taken), "answered": False}
        end = await _loop().ainvoke(start, {"recursion_limit": nodes}, context=Seat(player))
        answered = end["answered"]
    if not answered:
        raise BudgetExceeded(f"budget.turns={player.turns} is used up")
