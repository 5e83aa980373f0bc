"""Long texts, cut in the middle."""

from __future__ import annotations

import re

MARK = re.compile(r"\n\[\.\.\. (\d{1,18}) characters left out \.\.\.\]\n")


class Excerpt:
    """The head and the tail of a text that arrives in pieces; keeps at most twice `limit` characters.

    `limit` must leave room for the mark that stands where something was left out: 100 is enough.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = ""
        self._tail = ""
        self._length = 0

    def add(self, piece: str) -> None:
        self._length += len(piece)
        room = self._limit - len(self._head)
        self._head += piece[:room]
        self._tail = (self._tail + piece[room:])[-self._limit :]

    @property
    def is_empty(self) -> bool:
        return not self._length

    @property
    def truncated(self) -> bool:
        return self._length > self._limit

    def text(self) -> str:
        """The whole text if it has at most `limit` characters, else so many of it, mark included."""
        if not self.truncated:
            return self._head
        # The mark names how much it stands for, which depends on its own length: leave room for the longest.
        room = self._limit - len(_mark(self._length))
        kept = self._head + self._tail
        head, tail = kept[: room - room // 2], kept[len(kept) - room // 2 :]
        return head + _mark(self._length - room) + tail


def shorten(text: str, limit: int) -> str:
    """`text`, or its head and tail with a mark between them: at most `limit` characters in all.

    Marks of earlier cuts are whole, or counted into this one.
    """
    if len(text) <= limit:
        return text
    earlier = list(MARK.finditer(text))
    room = limit - len(_mark(len(text) + sum(int(mark[1]) for mark in earlier)))
    start, end = room - room // 2, len(text) - room // 2
    for mark in earlier:
        if start < mark.end() and mark.start() < end:
            start, end = min(start, mark.start()), max(end, mark.end())
    counted = sum(int(mark[1]) - len(mark[0]) for mark in MARK.finditer(text, start, end))
    return text[:start] + _mark(end - start + counted) + text[end:]


def _mark(characters: int) -> str:
    return f"\n[... {characters} characters left out ...]\n"
