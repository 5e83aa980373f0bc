"""Looking things up in a context that is too long to read."""

from __future__ import annotations

import re

SHOWN_HITS = 10
AROUND = 100
"""Characters that are shown on each side of a hit."""
PAGE = 4_000
"""Characters that are read at once."""


class ContextTools:
    """Search and reading by position, over one text."""

    def __init__(self, context: str) -> None:
        self._context = context

    def search(self, query: str) -> str:
        """Find the query in the context, in upper or lower case. Gives the first 10 places, each with its
        position and the text around it, and the number of all."""
        if not query:
            return "The query is empty."
        hits = [hit.start() for hit in re.finditer(re.escape(query), self._context, re.IGNORECASE)]
        if not hits:
            return f"{query!r} does not occur in the context."
        shown = [f"[{position}] {self._around(position, len(query))}" for position in hits[:SHOWN_HITS]]
        return "\n".join([f"{len(hits)} places:", *shown])

    def read(self, position: int) -> str:
        """Read 4000 characters of the context from a position on; positions count from 0."""
        page = self._context[max(position, 0) : max(position, 0) + PAGE]
        return page or f"The context ends at position {len(self._context)}."

    def _around(self, position: int, length: int) -> str:
        return " ".join(self._context[max(position - AROUND, 0) : position + length + AROUND].split())
