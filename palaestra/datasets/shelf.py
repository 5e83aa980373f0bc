"""Where generated contexts are put, and how their length is counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from palaestra.core.task import ContextFile
from palaestra.datasets.documents import keep_pieces
from palaestra.models.tokens import cut_by_characters

CountTokens = Callable[[str], float]

WRITTEN_AT_ONCE = 1 << 16
"""Characters that are joined before they are written."""


class Shelf:
    """A folder of contexts, each named by its content."""

    def __init__(self, folder: Path, count: CountTokens = cut_by_characters.count) -> None:
        self.count = count
        self._folder = folder

    def keep(self, pieces: Iterable[str]) -> ContextFile:
        """Write a text as its pieces come."""
        return keep_pieces(_joined(pieces), self._folder)

    def fitting(self, pieces: Iterable[str], tokens: float) -> int:
        """How many of the pieces, from the first on, have no more than so many tokens together."""
        fitting = 0
        for piece in pieces:
            tokens -= self.count(piece)
            if tokens < 0:
                break
            fitting += 1
        return fitting


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    waiting: list[str] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= WRITTEN_AT_ONCE:
            yield "".join(waiting)
            waiting, length = [], 0
    yield "".join(waiting)
