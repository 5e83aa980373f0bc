"""One match: a pairing, asked in one order or in both."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from palaestra.arena.topologies.base import Orders, Outcome, Pairing
from palaestra.core.verdict import NoVerdict, Verdict

Order = tuple[str, str]
"""Who is shown first, and who second."""


def orders_of(pairing: Pairing, orders: Orders) -> tuple[Order, ...]:
    """The orders in which a pairing is asked; when only one is, the topology's own."""
    forward = (pairing.first, pairing.second)
    return (forward, forward[::-1]) if orders == "both" else (forward,)


def outcome_of(pairing: Pairing, judgements: Mapping[Order, Verdict | NoVerdict]) -> Outcome | None:
    """The mean of each contestant's scores over the orders asked; None when any order has no verdict.

    Both orders are asked because either alone favours a position, so one verdict of two decides nothing:
    a contestant on which the judge fails in the order that is bad for it must not profit.
    """
    points: dict[str, list[float]] = {pairing.first: [], pairing.second: []}
    for order, judgement in judgements.items():
        if isinstance(judgement, NoVerdict):
            return None
        for contestant, score in zip(order, judgement.scores, strict=True):
            points[contestant].append(score)
    return Outcome(fmean(points[pairing.first]), fmean(points[pairing.second]), orders=len(judgements))
