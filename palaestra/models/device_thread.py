"""The thread in which a device computes.

All work of a device is done in one thread of its own, however many models and optimizers share the device. On
a CPU every further thread that calls PyTorch brings a pool of OpenMP workers; with more workers than cores
they sleep between operations, and small operations take a third longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import ParamSpec, TypeVar

import torch

Result = TypeVar("Result")
Given = ParamSpec("Given")


@cache
def thread_of(device: torch.device) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"device-{device}")


async def on_device(
    device: torch.device, function: Callable[Given, Result], *given: Given.args, **named: Given.kwargs
) -> Result:
    """What `function` returns, called in the device's thread.

    A call that has begun is finished: who is cancelled meanwhile is cancelled at the next `await`, so that
    weights are never saved while they change.
    """
    submitted = thread_of(device).submit(function, *given, **named)
    call = asyncio.wrap_future(submitted)
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError:
        if submitted.cancel():
            raise
        while not call.done():
            with suppress(asyncio.CancelledError):  # once more
                await asyncio.wait([call])
        _cancel_again()
        return call.result()


def _cancel_again() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    task.cancel()
