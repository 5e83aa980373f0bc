"""How many requests are under way at once, at each address."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter

_limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, CapacityLimiter]] = WeakKeyDictionary()


def limiter(endpoint: str, concurrency: int) -> CapacityLimiter:
    """The limiter that all models of one endpoint share; the smallest `concurrency` that any asked for holds.

    Waiting belongs to an event loop, so each loop has limiters of its own: a process that runs several loops
    at once (one per thread) multiplies the limit by their number. A loop's limiters go with the loop.
    """
    of_loop = _limiters.setdefault(asyncio.get_running_loop(), {})
    shared = of_loop.setdefault(endpoint, CapacityLimiter(concurrency))
    shared.total_tokens = min(shared.total_tokens, concurrency)
    return shared
