"""An event loop whose time passes only when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class ClockedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        """Have what is due by then happen, though not what follows from that."""
        self.now += seconds
        for _ in range(3):  # what is due gets ready, runs, and whoever it wakes runs
            await asyncio.sleep(0)


def run_clocked(body: Callable[[ClockedLoop], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=ClockedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, ClockedLoop)
        runner.run(body(loop))
