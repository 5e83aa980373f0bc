"""What the simulation of topologies must show, and whether it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

REFERENCE: Mapping[tuple[str, float], Mapping[str, Sequence[tuple[float, float]]]] = {
    ("scores", 0.7): {
        "round-robin": [(0.563, 0.530), (0.676, 0.536), (0.830, 0.595)],
        "anchor": [(0.487, 0.460), (0.488, 0.339), (0.489, 0.240)],
        "single-elimination": [(0.495, 0.474), (0.522, 0.440), (0.542, 0.270)],
        "double-elimination": [(0.494, 0.508), (0.511, 0.461), (0.516, 0.367)],
        "swiss": [(0.441, 0.461), (0.480, 0.427), (0.531, 0.265)],
    },
    ("scores", 0.8): {
        "round-robin": [(0.718, 0.696), (0.792, 0.673), (0.894, 0.718)],
        "anchor": [(0.645, 0.606), (0.636, 0.527), (0.644, 0.438)],
        "single-elimination": [(0.684, 0.671), (0.696, 0.608), (0.717, 0.505)],
        "double-elimination": [(0.652, 0.693), (0.657, 0.647), (0.656, 0.570)],
        "swiss": [(0.606, 0.636), (0.627, 0.598), (0.676, 0.463)],
    },
    ("verdicts", 0.7): {
        "round-robin": [(0.602, 0.590), (0.708, 0.610), (0.850, 0.710)],
        "anchor": [(0.302, 0.278), (0.291, 0.162), (0.302, 0.044)],
        "single-elimination": [(0.407, 0.433), (0.414, 0.354), (0.415, 0.245)],
        "double-elimination": [(0.409, 0.481), (0.408, 0.419), (0.410, 0.278)],
        "swiss": [(0.471, 0.476), (0.507, 0.395), (0.565, 0.347)],
    },
    ("verdicts", 0.8): {
        "round-robin": [(0.748, 0.723), (0.821, 0.719), (0.910, 0.758)],
        "anchor": [(0.463, 0.368), (0.453, 0.197), (0.453, 0.047)],
        "single-elimination": [(0.578, 0.613), (0.568, 0.527), (0.568, 0.417)],
        "double-elimination": [(0.576, 0.665), (0.560, 0.583), (0.549, 0.532)],
        "swiss": [(0.633, 0.626), (0.657, 0.542), (0.704, 0.481)],
    },
}
"""Kendall's tau and top-1 of the rules of ArenaRL's published code, Swiss put right, at N = 8, 16 and 64,
from another simulation of such judges: written separately, with seeds of its own and without failed calls.
Its double elimination is seeded by lot."""
REFERENCE_SIZES = (8, 16, 64)
REFERENCE_ERROR = {"tau": {8: 0.012, 16: 0.01, 64: 0.014}, "top": {8: 0.026, 16: 0.036, 64: 0.1}}
"""Half of its 95 % intervals, at most."""


def check_goals(cells: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per goal and cell: what was measured, what it had to reach, and whether it did."""
    return [goal for cell in cells for check in (_reference, _half, _equal, _best) for goal in check(cell)]


def _goal(
    cell: Mapping[str, Any], goal: str, value: float, error: float, bound: float, met: bool
) -> dict[str, Any]:
    where = {key: cell[key] for key in ("judge", "accuracy", "contestants")}
    return {"goal": goal, **where, "value": value, "error": error, "bound": bound, "met": met}


def _reference(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    known = REFERENCE.get((cell["judge"], cell["accuracy"]), {})
    size = cell["contestants"]
    for name, values in known.items():
        if size in REFERENCE_SIZES:
            for what, bound in zip(("tau", "top"), values[REFERENCE_SIZES.index(size)], strict=True):
                measured = cell["methods"][name]
                error = (measured[f"{what}_error"] ** 2 + REFERENCE_ERROR[what][size] ** 2) ** 0.5
                # Two simulations agree as long as they differ by less than their errors.
                met = measured[what] + error >= bound
                yield _goal(cell, f"{name}: {what} of the reference", measured[what], error, bound, met)


def _half(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if cell["judge"] == "scores":
        for name in ("oneshot", "adaptive"):
            yield _gain(cell, f"{name}, half the calls", "tau", 0.0)


def _equal(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if cell["judge"] == "verdicts":
        for name in ("oneshot", "adaptive"):
            yield _gain(cell, name, "tau", 0.0)


def _best(cell: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if cell["contestants"] in (16, 64):
        yield _gain(cell, "halving", "top", 0.1)


def _gain(cell: Mapping[str, Any], name: str, what: str, bound: float) -> dict[str, Any]:
    measured = cell["methods"][name]
    value, error = measured[f"{what}_gain"], measured[f"{what}_gain_error"]
    goal = f"{name}: gain in {what} over single elimination"
    return _goal(cell, goal, value, error, bound, met=value >= bound if bound else value > 0)
