"""From measurements to the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def write_tables(measured: Mapping[str, Any]) -> None:
    replace_section("flow", _sections(measured))


def replace_section(name: str, paragraphs: Iterable[str], page: Path = PAGE) -> None:
    """Replace what stands between the markers `name: begin` and `name: end` of the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    text = "\n\n".join(paragraphs)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def _sections(measured: Mapping[str, Any]) -> Iterable[str]:
    machine, start = measured["machine"], measured["start"]
    rollouts, updates = measured["rollouts"], measured["updates"]
    yield (
        f"Machine: {machine['cpu_count']} CPU cores, {machine['platform']}, "
        f"Python {machine['python']}, torch {machine['torch']}."
    )
    yield table(
        ("what", "Palaestra", "beside it", "ratio"),
        [
            (
                "start: `palaestra --help` (beside it: `python -c pass`)",
                f"{start['help_seconds']:.2f} s",
                f"{start['python_seconds']:.2f} s",
                "",
            ),
            (
                "start: `import palaestra`",
                f"{start['import_seconds']:.2f} s",
                f"{start['python_seconds']:.2f} s",
                "",
            ),
            (
                "rollouts: tokens/s, 128 calls at once (beside it: one batch in transformers' `generate`)",
                f"{rollouts['tokens_per_second']:,.0f}",
                f"{rollouts['plain_tokens_per_second']:,.0f}",
                f"{rollouts['ratio']:.2f}",
            ),
            (
                "updates: samples/s (beside it: the same PPO step written out with all logits)",
                f"{updates['samples_per_second']:,.0f}",
                f"{updates['plain_samples_per_second']:,.0f}",
                f"{updates['ratio']:.2f}",
            ),
        ],
    )
    yield table(
        ("tournament: judge latency", "matches", "seconds", "of these the judge's", "overhead per match"),
        [
            (
                f"{row['judge_latency_ms']:.0f} ms",
                f"{row['matches']}",
                f"{row['seconds']:.2f}",
                f"{row['judge_seconds']:.2f}",
                f"{row['overhead_ms_per_match']:.2f} ms",
            )
            for row in measured["tournament"]
        ],
    )
    yield table(
        (
            "training: seed",
            "win rate against the start",
            "95 % interval",
            "utility before",
            "after",
            "seconds",
        ),
        [
            (
                f"{row['seed']}",
                f"{row['win_rate']:.1%}",
                f"{row['win_rate_low']:.1%} to {row['win_rate_high']:.1%}",
                f"{row['start_utility']:.3f}",
                f"{row['utility']:.3f}",
                f"{row['seconds']:.0f}",
            )
            for row in measured["training"]
        ],
    )


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
