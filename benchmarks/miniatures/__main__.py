"""Run miniatures, and write what they gave into docs/miniatures.md.

    python -m benchmarks.miniatures [NAME ...] [--seeds N] [--workers N]

Without names all are run. Each seed is a process of its own on one thread. Results are kept in
benchmarks/results/miniatures, a file for each; the page is written from all that are there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.miniatures.measuring import measure, miniature, one_thread
from benchmarks.miniatures.miniature import Effect, Miniature, effect
from benchmarks.tables import replace_section, table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "miniatures"
PAGE = HERE.parents[1] / "docs" / "miniatures.md"


def main() -> None:
    names = sorted(path.stem for path in HERE.glob("*.py") if "MINIATURE = " in path.read_text("utf-8"))
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--workers", type=int, default=2)
    chosen = options.parse_args()
    if unknown := set(chosen.names) - set(names):
        options.error(f"no miniature is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in chosen.names or names:
        print(f"{name}: {chosen.seeds} seeds", flush=True)
        measured = _run(name, chosen.seeds, chosen.workers)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        for each in _effects(miniature(name), measured):
            interval = f"{each.difference:+.3g} [{each.low:+.3g}, {each.high:+.3g}]"
            print(f"  {each.comparison.what}: {interval} {each.outcome}", flush=True)
    replace_section("miniatures", _page(names), PAGE)


def _run(name: str, seeds: int, workers: int) -> dict[str, Any]:
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawned, initializer=one_thread) as pool:
        measured = list(pool.map(measure, [name] * seeds, range(seeds)))
    return {
        "platform": platform.platform(),
        "torch": torch.__version__,
        "cpu_seconds": round(sum(seconds for _, seconds in measured)),
        "figures": [dict(figures) for figures, _ in measured],
    }


def _effects(of: Miniature, measured: Mapping[str, Any]) -> list[Effect]:
    return [effect(comparison, measured["figures"]) for comparison in of.comparisons]


def _page(names: Iterable[str]) -> Iterable[str]:
    measured = {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name in names
        if (path := RESULTS / f"{name}.json").exists()
    }
    yield table(
        ("miniature", "quantity", "method", "beside it", "difference, 95 % interval", "expected", "outcome"),
        [
            (
                f"`{name}`",
                each.comparison.what,
                f"{each.method:.3g} ({each.comparison.method})",
                f"{each.beside:.3g} ({each.comparison.beside})",
                f"{each.difference:+.3g} ({each.low:+.3g} to {each.high:+.3g})",
                each.comparison.expected,
                each.outcome,
            )
            for name in measured
            for each in _effects(miniature(name), measured[name])
        ],
    )
    for name, given in measured.items():
        of = miniature(name)
        yield f"### {name}"
        yield f"{of.claim} ({of.source}.)"
        seeds, seconds = len(given["figures"]), given["cpu_seconds"]
        yield f"{of.setting} {seeds} seeds, {seconds} s of one core, torch {given['torch']}."
        if of.remark:
            yield of.remark


if __name__ == "__main__":
    main()
