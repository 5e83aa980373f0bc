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
    """The time limit of an operation, which stands still while the host works for it."""

    def __init__(self, seconds: float, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._holders = 0
        self._left = seconds
        self._run()

    def _run(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._left, self._expire)

    def cancel(self) -> None:
        self._handle.cancel()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        if self._holders == 0:
            self._left = self._handle.when() - asyncio.get_running_loop().time()
            self._handle.cancel()
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0:
                self._run()
