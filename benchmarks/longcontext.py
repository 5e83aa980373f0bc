"""Where each agent breaks as contexts grow, without a key: `python -m benchmarks.longcontext`."""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.tables import PAGE, replace_section, table
from palaestra.agents.longcontext import KILO, LongContextConfig, Point, bench, by_family, points, results_of
from palaestra.cli.curves import draw, tokens
from palaestra.cli.text import count
from palaestra.store.run_store import RunStore

CONFIG = LongContextConfig(lengths=(8 * KILO, 128 * KILO, KILO * KILO, 4 * KILO * KILO))


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(RunStore.create(Path(folder), "bench", CONFIG)) as store,
    ):
        started = time.perf_counter()
        asyncio.run(bench(CONFIG, store, store.write))
        seconds = time.perf_counter() - started
        results = results_of(store)
    overall = points(results)
    curves: dict[str, list[tuple[int, float]]] = {
        agent.name: [(point.tokens, point.score) for point in overall if point.agent == agent.name]
        for agent in CONFIG.agents
    }
    PAGE.with_name("longcontext.svg").write_text(draw(curves), encoding="utf-8")
    replace_section("longcontext", _section(overall, by_family(results), seconds))


def _section(overall: list[Point], families: Mapping[str, Sequence[Point]], seconds: float) -> Iterable[str]:
    yield (
        f"{sum(point.tasks for point in overall)} trajectories with all their contexts in {seconds:.0f} s, "
        f"{os.cpu_count()} CPU cores, Python {platform.python_version()}."
    )
    yield table(
        ("agent", "tokens", "accuracy", "calls a task", "tokens used a task", "seconds a task"),
        [
            (
                point.agent,
                tokens(point.tokens),
                f"{point.score:.0%}",
                f"{point.usage.calls / point.tasks:.1f}",
                count(point.usage.tokens // point.tasks),
                f"{point.seconds:.2f}",
            )
            for point in overall
        ],
    )
    yield "Accuracy by family, at " + " / ".join(map(tokens, CONFIG.lengths)) + ":"
    names = [agent.name for agent in CONFIG.agents]
    yield table(
        ("family", *names),
        [
            (family, *(" / ".join(f"{p.score:.0%}" for p in found if p.agent == name) for name in names))
            for family, found in families.items()
        ],
    )


if __name__ == "__main__":
    main()
