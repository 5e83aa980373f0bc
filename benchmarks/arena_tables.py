"""From measurements of the engine to its tables in docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.tables import replace_section, table


def write_arena_tables(measured: Mapping[str, Any]) -> None:
    replace_section("arena", _sections(measured))


def _sections(measured: Mapping[str, Any]) -> Iterator[str]:
    machine = measured["machine"]
    yield f"Machine: {machine['cpu_count']} CPU cores, {machine['platform']}, Python {machine['python']}."
    yield table(
        ("64 groups of 16", "calls", "seconds", "calls · latency / slots", "critical path", "ratio"),
        [
            (
                row["topology"],
                f"{row['calls']:,}",
                f"{row['seconds']:.1f}",
                f"{row['work_seconds']:.1f}",
                f"{row['critical_path_seconds']:.1f}",
                f"{row['ratio']:.3f}",
            )
            for row in measured["wall"]
        ],
    )
    overhead, memory, ratings = measured["overhead"], measured["memory"], measured["ratings"]
    yield table(
        ("what", "figure"),
        [
            (
                f"engine's time per match, {overhead['matches']:,} matches, verdicts stored",
                f"{overhead['ms_per_match']:.2f} ms",
            ),
            (
                f"one run of {memory['matches']:,} matches, {memory['verdicts']:,} verdicts stored: seconds",
                f"{memory['seconds']:.0f}",
            ),
            (
                f"the same: memory grows by, from {memory['start_mb']:.0f} MB",
                f"{memory['growth_mb']:.1f} MB",
            ),
            (
                f"ratings of {ratings['systems']} systems from {ratings['comparisons']:,} comparisons with "
                f"{ratings['resamples']} resamples (beside it: `evalica.bootstrap`, "
                f"{ratings['evalica_seconds']:.1f} s)",
                f"{ratings['seconds']:.1f} s, ratio {ratings['ratio']:.2f}",
            ),
        ],
    )
