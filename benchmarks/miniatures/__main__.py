"""Run miniatures, and write what they gave into docs/miniatures.md.

    python -m benchmarks.miniatures [NAME ...] [--seeds N] [--workers N] [--page-only]

Without names all are run. Each seed is a process of its own on one thread. Results are kept in
benchmarks/results/miniatures, a file for each; the page is written from all that are there.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from benchmarks.miniatures.measuring import measure, miniature, one_thread
from benchmarks.miniatures.page import PAGE, RESULTS, effects, interval, names, paragraphs
from benchmarks.tables import replace_section


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--page-only", action="store_true", help="run none, write the page")
    chosen = options.parse_args()
    if unknown := set(chosen.names) - set(names()):
        options.error(f"no miniature is called {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    for name in [] if chosen.page_only else chosen.names or names():
        print(f"{name}: {chosen.seeds} seeds", flush=True)
        first = miniature(name).first_seed
        measured = _run(name, range(first, first + chosen.seeds), chosen.workers)
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        for each in effects(miniature(name), measured):
            print(f"  {each.comparison.what}: {interval(each)} {each.outcome}", flush=True)
    replace_section("miniatures", paragraphs(), PAGE)


def _run(name: str, seeds: Sequence[int], workers: int) -> dict[str, Any]:
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawned, initializer=one_thread) as pool:
        measured = list(pool.map(measure, [name] * len(seeds), seeds))
    return {
        "platform": platform.platform(),
        "seeds": [min(seeds), max(seeds)],
        "torch": torch.__version__,
        "cpu_seconds": round(sum(seconds for _, seconds in measured)),
        "figures": [dict(figures) for figures, _ in measured],
    }


if __name__ == "__main__":
    main()
