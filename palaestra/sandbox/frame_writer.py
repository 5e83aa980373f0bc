"""Frames to a sandboxed process that may not read them."""

from __future__ import annotations

import asyncio
from typing import BinaryIO, Self

from palaestra.sandbox.worker.wire import Kind, pack

WRITE_SECONDS = 30.0
"""After which a stream whose other end does not read is given up."""


class ChannelClosed(Exception):
    """The sandboxed process closed the channel, most likely by ending."""


class FrameWriter(asyncio.BaseProtocol):
    """Frames into one stream, which the writer owns."""

    _transport: asyncio.WriteTransport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._written = asyncio.Event()

    @classmethod
    async def into(cls, pipe: BinaryIO) -> Self:
        _, writer = await asyncio.get_running_loop().connect_write_pipe(cls, pipe)
        return writer

    def write(self, kind: Kind, header: dict[str, object], body: bytes = b"") -> None:
        """Write one frame without waiting; nothing once the other end has closed its own."""
        if not self._transport.is_closing():
            self._transport.write(pack(kind, header, body))

    async def send(self, kind: Kind, header: dict[str, object], body: bytes = b"") -> None:
        """Write one frame, and wait while the other end is slow to read. One that does not is given up.

        Raises:
            ChannelClosed
        """
        async with self._sending:
            await self._drain()  # of what a sender that was cancelled has left
            if self._transport.is_closing():
                raise ChannelClosed
            self.write(kind, header, body)
            await self._drain()

    async def _drain(self) -> None:
        if self._written.is_set():
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self._written.wait()
        except TimeoutError as error:
            self.close()
            raise ChannelClosed from error

    def close(self) -> None:
        """At once: what has not been written is not wanted any more."""
        # The session may outlive the event loop that it was started in, and a pipe ends but once.
        if not (self._loop.is_closed() or self._transport.is_closing()):
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.set_write_buffer_limits(0)  # the next frame is written when this one has been
        self._written.set()

    def pause_writing(self) -> None:
        self._written.clear()

    def resume_writing(self) -> None:
        self._written.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._written.set()
