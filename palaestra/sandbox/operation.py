"""An operation of a session while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from palaestra.sandbox.timer import Timer

CALLS_UNDER_WAY = 1024
BYTES_UNDER_WAY = 64 << 20
"""Calls that are served at once, and bytes that they and their answers hold; more of them wait in the socket,
and their senders with them."""
GRACE_SECONDS = 1.0
"""Elapsed time that an operation gets to end after it was interrupted for taking too long."""


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

    def cancel(self) -> None:
        for task in self._tasks:
            if not task.cancelling():  # a second time would interrupt what it does to end
                task.cancel()

    async def end(self) -> None:
        self.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


class Clock:
    """The time limits of an operation: one that stands still while the host works for it, and one in all.

    When one of them is reached, `interrupt` is called; when the operation then takes `GRACE_SECONDS` more,
    `give_up` is.
    """

    def __init__(
        self,
        timer: Timer,
        seconds: float,
        total_seconds: float,
        interrupt: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        self._timer = timer
        self._interrupt = interrupt
        self._give_up = give_up
        self._holders = 0
        self._stopped_at = 0.0
        now = timer.now()
        self._end = now + seconds
        self._total_end = now + total_seconds
        self._is_late = False
        self.is_over = False
        """The operation was given up."""
        self._set_timer()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        if self._holders == 0:
            self._stopped_at = self._timer.now()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._end += self._timer.now() - self._stopped_at
                self._set_timer()

    def _set_timer(self) -> None:
        end = self._total_end if self._holders else min(self._end, self._total_end)
        self._timer.set(end, self._look)

    def _look(self) -> None:
        now = self._timer.now()
        if now < self._total_end and (self._holders or now < self._end):
            self._set_timer()
        elif self._is_late:
            self.is_over = True
            self._give_up()
        else:
            self._is_late = True
            self._end = self._total_end = now + GRACE_SECONDS
            self._set_timer()
            self._interrupt()
