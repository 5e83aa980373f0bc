"""Places and turns at one address."""

from __future__ import annotations

import asyncio
import time

from palaestra.models.limiter import limiter


async def begin(address: str, times: list[float], concurrency: int, per_minute: float | None) -> None:
    async with limiter(address, concurrency, per_minute).slot():
        times.append(time.monotonic())


def test_no_request_begins_before_its_turn_whoever_makes_it() -> None:
    times: list[float] = []

    async def requests() -> None:
        await asyncio.gather(
            *(begin("there", times, 8, 1200) for _ in range(4)),
            *(begin("there", times, 8, None) for _ in range(4)),
            *(begin("elsewhere", [], 8, None) for _ in range(50)),
        )

    started = time.monotonic()
    asyncio.run(requests())
    assert len(times) == 8
    assert all(begun - started >= place * 0.05 for place, begun in enumerate(times))


def test_the_smallest_numbers_that_anyone_asked_for_hold() -> None:
    most = under_way = 0

    async def request(concurrency: int) -> None:
        nonlocal most, under_way
        async with limiter("there", concurrency).slot():
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1

    async def requests() -> None:
        await asyncio.gather(*(request(concurrency) for concurrency in (2, 9, 9, 9, 9, 9)))

    asyncio.run(requests())
    assert most == 2


def test_a_request_that_is_cancelled_while_it_waits_gives_its_place_back() -> None:
    async def requests() -> None:
        times: list[float] = []
        await begin("there", times, 1, 600)
        waiting = asyncio.create_task(begin("there", times, 1, 600))
        await asyncio.sleep(0.02)
        waiting.cancel()
        async with asyncio.timeout(300):
            await begin("there", times, 1, 600)
        assert len(times) == 2

    asyncio.run(requests())
