"""From measurements of the sandbox to the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.tables import replace_section, table

GOALS: tuple[tuple[str, str, str], ...] = (
    ("warm_start_ratio", "start, warm, to the end of a first statement", "{:.2f} × `python -c pass`"),
    ("cold_start_ratio", "start in a new host process", "{:.2f} × `python -c pass`"),
    ("gvisor_start_ratio", "start, warm, under gVisor (`runtime: runsc`)", "{:.2f} × under runc"),
    ("empty_cell_us", "empty cell", "{:.0f} µs"),
    ("empty_cell_pinned_us", "empty cell, host and session on one processor", "{:.0f} µs"),
    ("round_trip_us", "a byte to a plain Python process and back, through the event loop", "{:.0f} µs"),
    ("calls_per_second", "calls of a host function, one after another", "{:,.0f} per s"),
    ("batched_calls_ratio", "1,000 calls of 50 ms in a batch", "{:.2f} × 50 ms"),
    ("calls_in_flight_ratio", "1,000 calls of 50 ms under way at once", "{:.2f} × 50 ms"),
    ("kill_ms", "kill of a busy cell that ignores signals, until nothing is left", "{:.0f} ms"),
    ("idle_mb", "private memory of an idle session", "{:.1f} MB"),
    ("loop_ratio", "integer loop", "{:.2f} × plain Python"),
)
GATES: Mapping[str, Mapping[str, float]] = {
    "warm_start_ratio": {"jail": 1, "docker": 30},
    "cold_start_ratio": {"jail": 4, "docker": 30},
    "gvisor_start_ratio": {"docker": 4},
    "empty_cell_us": {"jail": 100, "docker": 250},
    "empty_cell_pinned_us": {"jail": 100},
    "calls_per_second": {"jail": 8000, "docker": 8000},
    "batched_calls_ratio": {"jail": 2, "docker": 2},
    "calls_in_flight_ratio": {"jail": 2, "docker": 2},
    "kill_ms": {"jail": 50, "docker": 1000},
    "idle_mb": {"jail": 5},
    "loop_ratio": {"jail": 1.1, "docker": 1.1},
}
"""Goals by backend: at most so much, of calls per second at least."""


def write_tables(measured: Mapping[str, Any]) -> None:
    replace_section("sandbox", sections(measured))


def write_stress_table(measured: Mapping[str, Any]) -> None:
    replace_section("sandbox-stress", [table(("what", measured["backend"]), stress_rows(measured))])


def stress_rows(measured: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name in ("at once", "in sequence"):
        part = measured[name]
        left = ", ".join(f"{count:+d} {kind}" for kind, count in part["grown"].items() if kind != "memory_mb")
        yield (
            f"{part['sessions']:,} sessions {name}, each started, used and killed",
            f"{part['seconds']:.1f} s; after it {left}, {part['grown']['memory_mb']:+.1f} MB in the host",
        )
    killed, flood, giant = measured["host killed"], measured["flood"], measured["giant"]
    yield (
        f"`kill -9` of a host with three busy sessions, until nothing is left (worst of {killed['times']})",
        f"{killed['worst_ms']:.0f} ms",
    )
    yield (
        "a flood of 100,000 calls: longest time that the event loop did not come to its other work",
        f"{flood['worst_lag_ms']:.0f} ms",
    )
    yield (
        f"a file of {giant['bytes'] / 1e9:g} GB as the context",
        f"{giant['seconds']:.1f} s; peak {giant['worker_peak_ratio']:.2f} × its size in the session, "
        f"{giant['host_peak_mb']:.0f} MB in the host",
    )
    yield (
        f"a regular expression over it, with {giant['matches']:,} matches",
        f"{giant['seconds_for_a_match_per_line']:.1f} s",
    )


def sections(measured: Mapping[str, Any]) -> Iterable[str]:
    machine = measured["machine"]
    everything = measured["backends"] | measured["peers"]
    present = {name: row for name, row in everything.items() if "skipped" not in row}
    backends = {name: row for name, row in measured["backends"].items() if name in present}
    yield (
        f"Machine: {machine['cpu_count']} CPU cores, {machine['platform']}, Python {machine['python']}. "
        "A value in bold misses the goal behind it."
    )
    yield from (
        f"Not measured: {name}: {everything[name]['skipped']}" for name in everything.keys() - present
    )
    yield table(
        ("what", *backends),
        [
            (what, *(goal(key, name, row, form) for name, row in backends.items()))
            for key, what, form in GOALS
        ],
    )
    yield table(
        ("text into a variable", "decoding alone", *backends),
        list(text_rows(backends)),
    )
    yield table(
        (
            "beside others",
            "start",
            "empty cell",
            "with 40 MB loaded",
            "calls per s",
            "40 MB load",
            "loop",
            "of 8 probes get through",
        ),
        [peer_row(name, row) for name, row in present.items()],
    )


def goal(key: str, backend: str, row: Mapping[str, Any], form: str) -> str:
    if row[key] is None:
        return "not measured"
    text, gate = form.format(row[key]), GATES.get(key, {}).get(backend.partition("-")[0])
    if gate is None:
        return text
    good, sign = (row[key] >= gate, "≥") if key == "calls_per_second" else (row[key] <= gate, "≤")
    return f"{text if good else f'**{text}**'} ({sign} {gate:,g})"


def text_rows(backends: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, ...]]:
    columns = [row["texts"] for row in backends.values()]
    for texts in zip(*columns, strict=True):
        name = f"{texts[0]['megabytes']} MB, {'mixed' if texts[0]['mixed'] else 'ASCII'}"
        for kind in ("string", "view"):
            cells = (
                f"{text[f'{kind}_ms']:.0f} ms, {text[f'{kind}_peak_ratio']:.2f} × its size" for text in texts
            )
            yield (f"{name}, as a {kind}", f"{texts[0]['decoding_ms']:.0f} ms", *cells)


def peer_row(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    def number(key: str, form: str) -> str:
        return "" if row.get(key) is None else form.format(row[key])

    ours = "texts" in row
    load = row["texts"][0]["string_ms"] if ours else row["load_40_mb_ms"]
    start = "warm_start_ratio" if ours else "start_ratio"
    return (
        name,
        number(start, "{:.2f} ×"),
        number("empty_cell_us", "{:,.0f} µs"),
        number("empty_cell_with_40_mb_us", "{:,.0f} µs"),
        number("calls_per_second", "{:,.0f}") or "none",
        f"{load:,.0f} ms",
        number("loop_ratio", "{:.1f} ×"),
        f"{sum(row['escapes'].values())}",
    )
