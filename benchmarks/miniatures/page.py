"""What the kept results say, as tables and text of docs/miniatures.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.miniatures.measuring import miniature
from benchmarks.miniatures.miniature import Effect, Miniature, effect
from benchmarks.tables import table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "miniatures"
PAGE = HERE.parents[1] / "docs" / "miniatures.md"


def names() -> list[str]:
    """Of all miniatures."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\nMINIATURE = " in path.read_text("utf-8"))


def effects(of: Miniature, measured: Mapping[str, Any]) -> list[Effect]:
    return [effect(comparison, measured["figures"]) for comparison in of.comparisons]


def interval(of: Effect) -> str:
    return f"{number(of.difference, '+')} ({number(of.low, '+')} to {number(of.high, '+')})"


def number(value: float, sign: str = "") -> str:
    """Three digits that tell, or all whole ones."""
    return f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.3g}"


def paragraphs() -> Iterable[str]:
    """A table of all that was measured, then what each miniature does."""
    measured = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in names()
        if (path := RESULTS / f"{name}.json").exists()
    }
    yield table(
        ("miniature", "quantity", "method", "beside it", "difference, 95 % interval", "expected", "outcome"),
        [
            (
                f"`{name}`",
                each.comparison.what,
                f"{number(each.method)} ({each.comparison.method})",
                f"{number(each.beside)} ({each.comparison.beside})",
                interval(each),
                each.comparison.expected,
                each.outcome,
            )
            for name in measured
            for each in effects(miniature(name), measured[name])
        ],
    )
    for name, given in measured.items():
        of = miniature(name)
        yield f"### {name}"
        yield f"{of.claim} ({of.source}.)"
        (first, last), seconds = given["seeds"], given["cpu_seconds"]
        yield f"{of.setting} Seeds {first} to {last}, {seconds} s of one core, torch {given['torch']}."
        if of.remark:
            yield of.remark
