"""From the comparison of topologies to the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.tables import replace_section, table

SHOWN = (0.7, 0.9)
"""Accuracies on the page; the others are in the results."""


def write_topology_tables(measured: Mapping[str, Any]) -> None:
    replace_section("topologies", _paragraphs(measured))


def as_table(methods: Mapping[str, Mapping[str, float]]) -> str:
    """One cell: every method with its calls, and ± half of the 95 % interval."""
    return table(
        ("topology", "calls", "Kendall's tau", "top-1", "gain in tau", "gain in top-1"),
        [
            (
                name,
                f"{row['calls']:.0f}",
                *(
                    f"{row[what]:.3f} ± {row[what + '_error']:.3f}"
                    for what in ("tau", "top", "tau_gain", "top_gain")
                ),
            )
            for name, row in methods.items()
        ],
    )


def _paragraphs(measured: Mapping[str, Any]) -> Iterable[str]:
    cells = measured["cells"]
    seconds = sum(cell["seconds"] for cell in cells)
    groups = {cell["contestants"]: cell["groups"] for cell in cells}
    yield (
        f"{seconds / 60:.0f} minutes on one core; groups per judge: "
        + ", ".join(f"{count} of {size}" for size, count in groups.items())
        + ". Each entry is Kendall's tau / top-1."
    )
    for judge, gives in (("scores", "gives scores"), ("verdicts", "names winners only")):
        for accuracy in SHOWN:
            columns = [cell for cell in cells if (cell["judge"], cell["accuracy"]) == (judge, accuracy)]
            yield f"*A judge that {gives}, right in {accuracy:.0%} of its calls*"
            yield _wide(columns)
    yield "*What had to be shown*"
    yield table(("goal", "cells", "met", "missed"), _goals(measured["goals"]))


def _wide(columns: list[Mapping[str, Any]]) -> str:
    """One row per method, one column per size, with the calls of the largest."""
    header = ("topology", *(f"N = {cell['contestants']}" for cell in columns), "calls, each N")
    rows = []
    for name in columns[0]["methods"]:
        given = [cell["methods"][name] for cell in columns]
        calls = " / ".join(f"{row['calls']:.0f}" for row in given)
        rows.append((name, *(f"{row['tau']:.3f} / {row['top']:.3f}" for row in given), calls))
    return table(header, rows)


def _goals(goals: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    by_goal: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for goal in goals:
        by_goal[goal["goal"]].append(goal)
    for name, cells in by_goal.items():
        missed = [
            f"{cell['judge']} {cell['accuracy']:.0%} N={cell['contestants']}: {cell['value']:.3f} ± "
            f"{cell['error']:.3f}, not {cell['bound']:.3f}"
            for cell in cells
            if not cell["met"]
        ]
        yield name, str(len(cells)), str(len(cells) - len(missed)), "; ".join(missed) or "none"
