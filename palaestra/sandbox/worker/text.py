"""Texts too long for a string."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

BLOCK = 4096
"""Bytes between two entries of the index, about."""


class LongText:
    """A read-only text that is kept as UTF-8, for texts that would need several times the room as strings.

    Counts in characters, as a string does. Slices are strings, or views of the same text where they are long.
    """

    __module__ = "builtins"  # errors then name it without the worker's own module

    longest_string = 64 << 20
    """Characters of the longest slice that is a string; a longer one is a `LongText` again."""
    window = 4 << 20
    """Characters that a pattern is tried on at once."""
    margin = 64 << 10
    """Characters around a match that look-around sees; a match that is longer than this may be missed."""

    def __init__(self, data: bytearray) -> None:
        """Takes over `data`; what is not UTF-8 in it is replaced."""
        try:
            self._index(data)
        except UnicodeDecodeError:
            self._index(bytearray(data.decode(errors="replace").encode()))

    def _index(self, data: bytearray) -> None:
        self._data = data
        self._characters, self._bytes = array("q"), array("q")  # where each block begins
        self._start = self._length = start = 0
        while start < len(data):
            stop = min(start + BLOCK, len(data))
            while stop < len(data) and data[stop] & 0xC0 == 0x80:  # in the middle of a character
                stop += 1
            self._characters.append(self._length)
            self._bytes.append(start)
            self._length += len(data[start:stop].decode())
            start = stop

    def __len__(self) -> int:
        return self._length

    def __str__(self) -> str:
        return self._string(0, self._length)

    def __repr__(self) -> str:
        return (
            f"<LongText of {self._length:,} characters: {self._string(0, 200)!r} ... "
            f"{self._string(max(0, self._length - 200), self._length)!r}>"
        )

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self._length, BLOCK):
            yield from self._string(start, start + BLOCK)

    def __contains__(self, part: str) -> bool:
        return self.find(part) >= 0

    def __getitem__(self, key: int | slice) -> str | LongText:
        if not isinstance(key, slice):
            index = range(self._length)[key]
            return self._string(index, index + 1)
        start, stop, step = key.indices(self._length)
        if step != 1:
            return self._string(0, self._length)[key]
        if stop - start <= self.longest_string:
            return self._string(start, stop)
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._start, view._length = self._start + start, stop - start
        return view

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(str, name):
            raise AttributeError(f"'LongText' object has no attribute {name!r}")
        raise AttributeError(f"{name}() would copy this text of {self._length:,} characters; {ADVICE}")

    def find(self, part: str, start: int | None = None, stop: int | None = None) -> int:
        return self._place(self._data.find, part, start, stop)

    def rfind(self, part: str, start: int | None = None, stop: int | None = None) -> int:
        return self._place(self._data.rfind, part, start, stop)

    def index(self, part: str, start: int | None = None, stop: int | None = None) -> int:
        if (found := self.find(part, start, stop)) < 0:
            raise ValueError("substring not found")
        return found

    def count(self, part: str, start: int | None = None, stop: int | None = None) -> int:
        first, last, _ = slice(start, stop).indices(self._length)
        if not part:
            return max(0, last - first + 1)
        return self._data.count(part.encode(errors="replace"), self._byte(first), self._byte(last))

    def startswith(self, part: str) -> bool:
        return self._string(0, len(part)) == part

    def endswith(self, part: str) -> bool:
        return self._string(max(0, self._length - len(part)), self._length) == part

    def lines(self) -> Iterator[str]:
        """The lines, one at a time and without their ends."""
        start, end = self._byte(0), self._byte(self._length)
        while start < end:
            stop = self._data.find(b"\n", start, end)
            stop = end if stop < 0 else stop
            yield self._data[start:stop].decode().removesuffix("\r")
            start = stop + 1

    def finditer(self, pattern: str | re.Pattern[str], flags: int = 0) -> Iterator[Match]:
        """Matches of a regular expression, with places in the whole text."""
        compiled = re.compile(pattern, flags)
        start, width, last = 0, self.window, (-1, -1)
        while True:
            low, high = max(0, start - self.margin), min(start + width, self._length)
            text = self._string(low, high)
            whole = high == self._length
            sure = high - self.margin - low
            begin = max(start, high - self.margin)
            for match in compiled.finditer(text, start - low):
                if not whole and match.end() >= sure:
                    begin = low + match.start()
                    break
                found = Match(match, low)
                if found.span() != last:  # an empty match where the window before this one was left
                    last = found.span()
                    yield found
            if whole:
                return
            width = 2 * width if begin == start else self.window
            start = begin

    def search(self, pattern: str | re.Pattern[str], flags: int = 0) -> Match | None:
        return next(self.finditer(pattern, flags), None)

    def findall(self, pattern: str | re.Pattern[str], flags: int = 0) -> list[Any]:
        found = []
        for match in self.finditer(pattern, flags):
            groups = match.groups("")
            found.append(match.group() if not groups else groups[0] if len(groups) == 1 else groups)
        return found

    def _string(self, start: int, stop: int) -> str:
        if start >= (stop := min(stop, self._length)):
            return ""
        return self._data[self._byte(start) : self._byte(stop)].decode()

    def _place(self, search: Any, part: str, start: int | None, stop: int | None) -> int:
        first, last, _ = slice(start, stop).indices(self._length)
        if first > last:
            return -1
        found: int = search(part.encode(errors="replace"), self._byte(first), self._byte(last))
        return found if found < 0 else self._character(found)

    def _byte(self, character: int) -> int:
        """Where a character of this view begins in the data."""
        place = character + self._start
        block = bisect_right(self._characters, place) - 1
        if block < 0:
            return 0
        start, rest = self._bytes[block], place - self._characters[block]
        end = self._bytes[block + 1] if block + 1 < len(self._bytes) else len(self._data)
        if end - start == self._block_length(block):
            return start + rest
        return start + len(self._data[start:end].decode()[:rest].encode())

    def _character(self, byte: int) -> int:
        block = max(0, bisect_right(self._bytes, byte) - 1)
        if not self._bytes:
            return 0
        before = len(self._data[self._bytes[block] : byte].decode())
        return self._characters[block] + before - self._start

    def _block_length(self, block: int) -> int:
        following = block + 1
        end = self._characters[following] if following < len(self._characters) else None
        return -1 if end is None else end - self._characters[block]


class Match:
    """A match of a regular expression as `re` gives it, but with places in the whole text."""

    __module__ = "builtins"

    def __init__(self, match: re.Match[str], offset: int) -> None:
        self._match = match
        self._offset = offset

    def start(self, group: int | str = 0) -> int:
        return self.span(group)[0]

    def end(self, group: int | str = 0) -> int:
        return self.span(group)[1]

    def span(self, group: int | str = 0) -> tuple[int, int]:
        start, end = self._match.span(group)
        return (start, end) if start < 0 else (start + self._offset, end + self._offset)

    def __getitem__(self, group: int | str) -> Any:
        return self._match[group]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._match, name)

    def __repr__(self) -> str:
        return f"<Match span={self.span()}, match={self._match[0]!r:.60}>"


ADVICE = (
    "a LongText has len, slices such as text[:2000], in, find, count, startswith, endswith, lines(), "
    "finditer(pattern), search(pattern) and findall(pattern)"
)
