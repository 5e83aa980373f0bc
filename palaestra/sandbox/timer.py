"""A timer for what is put off so often that it seldom happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """Does one thing later, unless it is set to another first, or cancelled.

    The event loop's own timer is left as it is when this one is set to a later time, and looks again when it
    goes off: a new one at every operation would take a twentieth of the time of an empty cell.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = 0.0
        self._act: Callable[[], None] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def now(self) -> float:
        """The time of the event loop's clock, in seconds."""
        return self._loop.time()

    def set(self, due: float, act: Callable[[], None]) -> None:
        """Call `act` at this time, and nothing before."""
        self._due, self._act = due, act
        if self._handle is not None and self._handle.when() > due:
            self._handle.cancel()
            self._handle = None
        if self._handle is None:
            self._handle = self._loop.call_at(due, self._look)

    def clear(self) -> None:
        """Call nothing, until it is set again."""
        self._act = None

    def cancel(self) -> None:
        """Call nothing any more, and leave nothing in the event loop."""
        self._act = None
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        self._handle = None
        if self._act is None:
            return
        if self.now() < self._due:
            self._handle = self._loop.call_at(self._due, self._look)
        else:
            self._act()
