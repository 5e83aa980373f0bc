"""From the measurements of `benchmarks/recursion.py` to the tables of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.tables import replace_section, table

NAMES = {
    "palaestra": "Palaestra",
    "in-process": "Palaestra, with a model in its own process: no HTTP",
    "dspy": "dspy",
    "rlms": "rlms",
    "rlms-alone": "rlms, one child at a time",
    "rlms-kernels": "rlms, each child in an IPython kernel",
    "aiohttp": "aiohttp alone",
    "httpx": "httpx alone",
    "openai": "OpenAI's client alone",
    "litellm": "LiteLLM alone",
}
BATCH_ORDER = ("in-process", "aiohttp", "palaestra", "litellm", "openai", "httpx", "rlms", "dspy")


def write_recursion_tables(measured: Mapping[str, Any]) -> None:
    replace_section("rlm", _sections(measured))


def _sections(measured: Mapping[str, Any]) -> Iterator[str]:
    machine = measured["machine"]
    yield f"{machine['cpu_count']} CPU cores, {machine['platform']}, Python {machine['python']}."
    yield "*A run of one turn, 0 ms a call*"
    yield table(
        ("system", "seconds"),
        [(NAMES[system], _seconds(row, "{:.3f}")) for system, row in measured["one"].items()],
    )
    yield "*256 sub-calls of 50 ms after a root's call of 50 ms; with 64 at once 0.25 s are ideal*"
    yield table(
        ("system", "seconds", "most calls at once", "calls told / counted"),
        [_batch_row(system, measured["batch"][system]) for system in BATCH_ORDER],
    )
    yield "*64 children of two turns, each with calls of 50 ms and a cell that sleeps 50 ms*"
    yield table(
        (
            "system",
            "seconds",
            "most calls at once",
            "children with their own whole output",
            "calls told / counted",
        ),
        [
            (NAMES[system], _seconds(row, "{:.2f}"), str(row["most_at_once"]), _right(row), _calls(row))
            for system, row in measured["children"].items()
        ],
    )
    yield "*Contexts*"
    yield _contexts(measured["contexts"])
    yield "*Runs of a root with four children, killed by `kill -9` at a random point and resumed*"
    yield _kills(measured["kills"])
    yield "*Bytes on disk of a run in which every turn shows 20 kB*"
    sizes = measured["checkpoints"]
    yield table(("turns", *sizes), [("megabytes", *(f"{size / 1e6:.2f}" for size in sizes.values()))])
    yield "*Hostile cells in the `jail`: limits of 3 seconds and 1 GB*"
    yield _cells(measured["cells"])


def _batch_row(system: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    counted = system != "in-process"
    most = str(row["most_at_once"]) if counted else ""
    told = _calls(row) if counted and row["calls_told"] else ""
    return NAMES[system], _seconds(row, "{:.2f}"), most, told


def _contexts(rows: list[dict[str, float]]) -> str:
    return table(
        ("tokens", "megabytes", "seconds", "peak memory of the host, MB", "goal, MB"),
        [
            (
                f"{row['tokens']:,}",
                f"{row['megabytes']:.0f}",
                f"{row['seconds']:.2f}",
                f"{row['peak_megabytes']:.0f}",
                f"{1.5 * row['megabytes'] + 300:.0f}",
            )
            for row in rows
        ],
    )


def _kills(row: Mapping[str, Any]) -> str:
    repeated, in_flight = row["repeated"], row["in_flight"]
    beyond = sum(more > most for more, most in zip(repeated, in_flight, strict=True))
    return table(
        (
            "kills",
            "resumed to the same answer",
            "calls in flight at a kill",
            "calls repeated",
            "more than in flight",
        ),
        [
            (
                str(row["kills"]),
                f"{row['right']} of {row['kills']}",
                f"{statistics.fmean(in_flight):.1f}, at most {max(in_flight)}",
                f"{statistics.fmean(repeated):.1f} of {row['calls']}, at most {max(repeated)}",
                f"{beyond} times",
            )
        ],
    )


def _cells(rows: list[dict[str, Any]]) -> str:
    return table(
        ("cell", "run", "Python process", "variables", "seconds", "what the model is told"),
        [
            (
                row["cell"],
                row["run"],
                "the same" if row["same_process"] else "a new one",
                "kept" if row["variables_kept"] else "lost",
                f"{row['seconds']:.2f}",
                row["told"],
            )
            for row in rows
        ],
    )


def _seconds(row: Mapping[str, Any], form: str) -> str:
    return form.format(statistics.median(row["seconds"]))


def _right(row: Mapping[str, Any]) -> str:
    right = sum(answer == str(number) for number, answer in enumerate(row["answer"].split()))
    return f"{right} of 64"


def _calls(row: Mapping[str, Any]) -> str:
    return f"{row['calls_told']:.0f} / {row['calls_counted']:.0f}"
