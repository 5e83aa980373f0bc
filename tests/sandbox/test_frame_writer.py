import asyncio
import os

import pytest

from palaestra.sandbox.frame_writer import ChannelClosed, FrameWriter
from palaestra.sandbox.worker.wire import Kind

LARGE = bytes(1 << 20)
"""More than a pipe holds."""


def test_what_a_cancelled_sender_left_is_written_before_more_is_taken() -> None:
    """Or a process that never reads would fill the host's memory, a frame for each sender."""

    async def body() -> None:
        reader, end = os.pipe()
        writer = await FrameWriter.into(os.fdopen(end, "wb", buffering=0))
        for _ in range(3):
            sending = asyncio.create_task(writer.send(Kind.REPLY, {}, LARGE))
            await asyncio.sleep(0.01)
            assert not sending.done()
            sending.cancel()
        left = 0
        os.set_blocking(reader, False)
        last = asyncio.create_task(writer.send(Kind.REPLY, {}, b"last"))
        while not last.done():
            await asyncio.sleep(0)
            try:
                left += len(os.read(reader, 1 << 16))
            except BlockingIOError:
                continue
        assert left < 2 * len(LARGE)
        writer.close()
        os.close(reader)

    asyncio.run(body())


def test_nothing_can_be_sent_when_the_other_end_is_closed() -> None:
    async def body() -> None:
        reader, end = os.pipe()
        writer = await FrameWriter.into(os.fdopen(end, "wb", buffering=0))
        os.close(reader)
        await asyncio.sleep(0.01)
        writer.write(Kind.INTERRUPT, {})
        with pytest.raises(ChannelClosed):
            await writer.send(Kind.REPLY, {})
        writer.close()

    asyncio.run(body())
