"""The table of attacks in docs/sandbox.md: `python -m tests.attacks.table` runs them all and writes it.

Backends that this machine does not give are named with the reason, never left out.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from tests.attacks.backends import BACKENDS

PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
BEGIN, END = "<!-- attacks: begin -->", "<!-- attacks: end -->"
Row = tuple[str, str, str]
"""Class, number and title of an attack, whose ways are counted together."""


class Outcomes:
    """A pytest plugin that notes how each attack ended on each backend."""

    def __init__(self) -> None:
        self.of: dict[Row, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
        self.reasons: dict[str, str] = {}
        """Why a backend was not attacked."""
        self.known: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        """By title and reason, the backends on which an attack gets through."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Function, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        marker = item.get_closest_marker("attack")
        if marker is not None and (report.when == "call" or report.outcome != "passed"):
            number, title, on_unsafe, known = marker.args
            backend = str(item.callspec.params["target"])
            row = (item.path.stem.removeprefix("test_"), str(number), title)
            expected = on_unsafe if backend == "unsafe" else "gets through" if backend in known else "stopped"
            if backend in known and backend not in self.known[title][known[backend]]:
                self.known[title][known[backend]].append(backend)
            if report.outcome == "skipped":
                self.reasons[backend] = str(call.excinfo and call.excinfo.value)
            else:
                self.of[row][backend][expected if report.outcome == "passed" else "FAILED"] += 1
        return report


def tables(outcomes: Outcomes) -> Iterable[str]:
    yield f"Linux {platform.release()}, Python {platform.python_version()}, {platform.machine()}."
    yield from (f"Not here: {backend}: {reason}" for backend, reason in sorted(outcomes.reasons.items()))
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    for row in outcomes.of.values():
        for backend, counts in row.items():
            totals[backend].update(counts)
    yield _table(
        ("backend", "attacks tried", "stopped", "get through"),
        [
            (name, total.total(), total["stopped"], total["gets through"] + total["FAILED"])
            for name, total in ((name, totals[name]) for name in BACKENDS)
        ],
    )
    yield "What gets through an isolating backend, and why:"
    yield "\n".join(
        f"* {title}: {reason} ({', '.join(backends)})"
        for title, reasons in outcomes.known.items()
        for reason, backends in reasons.items()
    )
    yield _table(
        ("class", "no.", "what the code does", *BACKENDS),
        [(*row, *(_cell(backends.get(name)) for name in BACKENDS)) for row, backends in outcomes.of.items()],
    )


def _cell(counts: Counter[str] | None) -> str:
    """One outcome, with the number of ways if there are several."""
    if not counts:
        return ""
    return ", ".join(f"{what} ({count})" if count > 1 else what for what, count in counts.items())


def _table(header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)


def main() -> int:
    outcomes = Outcomes()
    failed = pytest.main(
        [str(Path(__file__).parent), "-q", "-m", "attack", *sys.argv[1:]], plugins=[outcomes]
    )
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    written = "\n\n".join(tables(outcomes))
    PAGE.write_text(f"{before}{BEGIN}\n\n{written}\n\n{END}{after}", encoding="utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
