"""An operation of a session while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

CALLS_UNDER_WAY = 1024
BYTES_UNDER_WAY = 64 << 20
"""Calls that are served at once, and bytes that they and their answers hold; more of them wait in the socket,
and their senders with them."""


class Operation:
    """An operation under way, and the calls that it makes."""

    def __init__(self, cell: str, clock: Clock) -> None:
        self.cell = cell
        self.clock = clock
        self.room = asyncio.Event()
        """Set while further calls may be served at once."""
        self.room.set()
        self.calls = self.bytes = self.refusals = 0
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._bytes_under_way = 0

    def begin(self, serving: Coroutine[None, None, None], size: int) -> None:
        """Have a call of this many bytes served in a task of its own."""
        task = asyncio.create_task(serving)
        self._tasks[task] = size
        self._count(size)
        task.add_done_callback(self._end)

    def hold(self, size: int) -> None:
        """The call that the current task serves now has an answer of this many bytes."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] += size
        self._count(size)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._count(-self._tasks.pop(task))

    def _count(self, size: int) -> None:
        self._bytes_under_way += size
        if len(self._tasks) < CALLS_UNDER_WAY and self._bytes_under_way <= BYTES_UNDER_WAY:
            self.room.set()
        else:
            self.room.clear()

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


class Clock:
    """The time limits of an operation: one that stands still while the host works for it, and one in all."""

    def __init__(self, seconds: float, total_seconds: float, expire: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._expire = expire
        self._holders = 0
        self._stopped_at = 0.0
        self._end = self._loop.time() + seconds
        self._total_end = self._loop.time() + total_seconds
        self._set_timer()

    def cancel(self) -> None:
        self._timer.cancel()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        if self._holders == 0:
            self._stopped_at = self._loop.time()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._end += self._loop.time() - self._stopped_at
                if self._timer.when() > self._end:
                    self._timer.cancel()
                    self._set_timer()

    def _set_timer(self) -> None:
        # It may go off too early, and is then set again: most calls are over long before it, and leave it.
        end = self._total_end if self._holders else min(self._end, self._total_end)
        self._timer = self._loop.call_at(end, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._total_end or (self._holders == 0 and now >= self._end):
            self._expire()
        else:
            self._set_timer()
