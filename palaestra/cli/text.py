"""Numbers, times and tables as a terminal shows them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from palaestra.core.events import UpdateDone
from palaestra.core.usage import Role, Usage

UNWRAPPED = 4000
"""Columns of a table that goes to a file or a pipe."""


def count(number: int) -> str:
    """
    >>> count(950), count(12_345), count(7_000_000)
    ('950', '12.3k', '7.0M')
    """
    if number < 1000:
        return str(number)
    return f"{number / 1e3:.1f}k" if number < 1_000_000 else f"{number / 1e6:.1f}M"


def dollars(cost: float | None) -> str:
    """
    >>> dollars(0.5), dollars(0.00012), dollars(None)
    ('$0.50', '$0.00012', 'unknown')
    """
    if cost is None:
        return "unknown"
    return f"${cost:.2f}" if cost == 0 or cost >= 0.1 else f"${cost:.2g}"


def duration(seconds: float) -> str:
    """
    >>> duration(83), duration(4000)
    ('1:23', '1:06:40')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def consumption(role: Role, usage: Usage) -> str:
    """What one role consumed, in a few words."""
    return f"{role} {count(usage.tokens)} tokens, cost {dollars(usage.cost)}"


def one_line(text: str, length: int | None = None) -> str:
    """The text on one line, without control characters, cut to `length` characters."""
    line = printable(" ".join(text.split()))
    return line if length is None or len(line) <= length else line[: length - 1] + "…"


def printable(text: str) -> str:
    """The text without the control characters by which it could steer the terminal that shows it."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout, fitted to the terminal, or with every cell whole where stdout is none."""
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else UNWRAPPED).print(table)


def print_usage(usage: Mapping[Role, Usage]) -> None:
    """A table of what each role consumed."""
    rows = [
        (role, account.calls, account.tokens_in, account.tokens_out, dollars(account.cost))
        for role, account in usage.items()
    ]
    if rows:
        print_table(("role", "calls", "tokens in", "tokens out", "cost"), rows)


def describe(evaluation: UpdateDone) -> str:
    """An evaluation of a policy in one line."""
    metrics = evaluation.metrics
    baselines = [name.removeprefix("win_rate/") for name in metrics if name.startswith("win_rate/")]
    others = "".join(
        f", {metrics[f'win_rate/{name}']:.1%} against {name} "
        f"({metrics[f'win_rate_low/{name}']:.1%} to {metrics[f'win_rate_high/{name}']:.1%})"
        for name in baselines
    )
    return (
        f"step {evaluation.step}: win rate {metrics['win_rate']:.1%} against the start policy "
        f"(95 % interval {metrics['win_rate_low']:.1%} to {metrics['win_rate_high']:.1%}, "
        f"{metrics['judged']:.0f} tasks){others}, utility {metrics['start_utility']:.3f} -> "
        f"{metrics['utility']:.3f}"
    )
