"""How many requests are under way at once, and how many begin in a minute, at each address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

_limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Limiter]] = WeakKeyDictionary()


class Limiter:
    """What all models of one address share; the smallest numbers that any of them asked for hold.

    Requests begin at even distances, never in bursts, so that a provider that counts by the second is
    content too.
    """

    def __init__(self) -> None:
        self._slots = CapacityLimiter(inf)
        self._interval = self._next = 0.0

    def tighten(self, concurrency: int, per_minute: float | None) -> None:
        self._slots.total_tokens = min(self._slots.total_tokens, concurrency)
        if per_minute is not None:
            self._interval = max(self._interval, 60 / per_minute)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a free slot and for one's turn; the slot is free again at the end."""
        async with self._slots:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
            if turn > now:
                await asyncio.sleep(turn - now)
            yield


def limiter(address: str, concurrency: int, per_minute: float | None = None) -> Limiter:
    """The limiter of an address, which from now on allows no more than this.

    Waiting belongs to an event loop, so each loop has limiters of its own: a process that runs several loops
    at once (one per thread) multiplies the limits by their number. A loop's limiters go with the loop.
    """
    of_loop = _limiters.setdefault(asyncio.get_running_loop(), {})
    shared = of_loop.setdefault(address, Limiter())
    shared.tighten(concurrency, per_minute)
    return shared
