"""A knock-out bracket, and how it reads in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Side(NamedTuple):
    contestant: str
    seed: int
    """1 is the best."""
    points: float | None
    """In this match; None before it, without a verdict, and with a bye."""


class BracketMatch(NamedTuple):
    stage: str
    upper: Side | None
    """None while unknown, and for the missing opponent of a bye."""
    lower: Side | None
    winner: str | None


class Bracket(NamedTuple):
    rounds: tuple[tuple[BracketMatch, ...], ...]
    """First round first, each with half of the matches of the one before; the last is the final."""
    champion: str | None


def render(bracket: Bracket, labels: Mapping[str, str] | None = None) -> str:
    """The bracket as lines of text, one column per round, with seeds and points.

    `labels` are shown instead of the contestants' names where given.
    """
    if not bracket.rounds:
        return _label(bracket.champion, labels or {}) if bracket.champion else "(the seeds are not known yet)"
    columns = [_column(matches, labels or {}) for matches in bracket.rounds]
    columns.append([_label(bracket.champion, labels or {}) if bracket.champion else "?"])
    titles = [matches[0].stage for matches in bracket.rounds] + ["champion"]
    widths = [max(map(len, (*column, title))) for column, title in zip(columns, titles, strict=True)]
    header = "    ".join(title.ljust(width) for title, width in zip(titles, widths, strict=True))
    height = 2 * len(columns[0]) - 1
    body = (
        "".join(_cell(columns[depth], depth, widths[depth], line) for depth in range(len(columns)))
        for line in range(height)
    )
    return "\n".join(line.rstrip() for line in (header, *body))


def _column(matches: tuple[BracketMatch, ...], labels: Mapping[str, str]) -> list[str]:
    """Two lines per match; the missing opponent of a decided match is a bye."""
    sides = [(side, match) for match in matches for side in (match.upper, match.lower)]
    names = [
        f"{side.seed} {_label(side.contestant, labels)}" if side else "bye" if match.winner else "?"
        for side, match in sides
    ]
    points = ["" if side is None or side.points is None else f"{side.points:.2f}" for side, _ in sides]
    name_width, points_width = max(map(len, names)), max(map(len, points))
    return [
        f"{name:<{name_width}} {score:>{points_width}}".rstrip()
        for name, score in zip(names, points, strict=True)
    ]


def _label(contestant: str, labels: Mapping[str, str]) -> str:
    return labels.get(contestant, contestant)


def _cell(column: list[str], depth: int, width: int, line: int) -> str:
    """What a column shows on a line: a side with its branch, the stem between two sides, or nothing.

    In the column of round `depth`, side i stands on line (2i+1)·2^depth - 1.
    """
    start, distance = (1 << depth) - 1, 2 << depth
    index, off = divmod(line - start, distance)
    if off == 0 and 0 <= index < len(column):
        if len(column) == 1:
            return column[index]
        return column[index].ljust(width) + (" ─┐ " if index % 2 == 0 else " ─┘ ")
    between = line >= start and index % 2 == 0 and index + 1 < len(column)
    stem = "├" if off * 2 == distance else "│"
    return " " * width + (f"  {stem} " if between else "    ")
