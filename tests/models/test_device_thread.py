"""All of a device's work happens in one thread, and what has begun is finished."""

import asyncio
import threading

import pytest
import torch

from palaestra.core.chat import Message, Sampling
from palaestra.models.device_thread import on_device, thread_of
from palaestra.models.tiny import TinyConfig, TinyModel

CPU = torch.device("cpu")
SMALL = TinyConfig(vocabulary=300, hidden=32, layers=1, heads=2, feed_forward=64, window=64)


def test_two_models_and_a_call_share_one_thread() -> None:
    async def threads() -> set[int]:
        found = {await on_device(CPU, threading.get_ident)}
        for name in ("tiny/one", "tiny/other"):
            model = TinyModel.build(name, ["plan a day"], SMALL, device="cpu")
            model.module.register_forward_hook(lambda *_: found.add(threading.get_ident()))
            await model.generate([Message(role="user", content="plan")], Sampling(max_tokens=2, seed=0))
            await model.score([Message(role="user", content="plan")], "a day")
        return found

    assert len(asyncio.run(threads())) == 1


@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_call_that_has_begun_is_finished_before_the_cancellation_counts(cancellations: int) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def work() -> str:
        begun.set()
        go_on.wait()
        return "finished"

    async def step() -> None:
        seen.append(await on_device(CPU, work))
        await asyncio.sleep(0)
        seen.append("went on")

    async def interrupted() -> None:
        task = asyncio.create_task(step())
        await asyncio.to_thread(begun.wait)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelling() == cancellations

    asyncio.run(interrupted())
    assert seen == ["finished"]


def test_a_call_that_waits_is_given_up() -> None:
    go_on, ran = threading.Event(), threading.Event()

    async def given_up() -> None:
        blocking = thread_of(CPU).submit(go_on.wait)
        waiting = asyncio.create_task(on_device(CPU, ran.set))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await asyncio.wrap_future(blocking)

    asyncio.run(given_up())
    thread_of(CPU).submit(int).result()
    assert not ran.is_set()
