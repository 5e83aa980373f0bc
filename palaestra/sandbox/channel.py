"""The host's end of the channel to a sandboxed process: nothing that arrives on it is trusted.

The frames themselves are described in `palaestra.sandbox.worker.wire`.
"""

from __future__ import annotations

import asyncio
import collections
import socket
from typing import Annotated, Literal

from pydantic import FailFast, Field, ValidationError

from palaestra.core.errors import SandboxError
from palaestra.core.record import Record
from palaestra.sandbox.base import Variable
from palaestra.sandbox.frame_writer import ChannelClosed, FrameWriter
from palaestra.sandbox.worker.wire import (
    MAX_BODY_FROM_SANDBOX,
    MAX_TEXTS,
    MAX_VARIABLES,
    PREFIX,
    Kind,
    WireError,
    split_texts,
    unpack_prefix,
)


class ProtocolError(SandboxError):
    """The sandboxed process sent what no worker sends; its session is over."""

    @classmethod
    def of(cls, what: str) -> ProtocolError:
        return cls(f"the sandboxed process sent {what}; its session was ended: run the task again")


class Ready(Record):
    """The worker took its limits and waits for operations."""


class Call(Record):
    """A cell calls a host function with a batch of texts."""

    cell: str
    call: int = Field(ge=0)
    function: str
    lengths: Annotated[tuple[Annotated[int, Field(ge=0)], ...], FailFast()] = Field(max_length=MAX_TEXTS)
    """Of the texts, in bytes."""


class Data(Record):
    """Part of a snapshot."""

    cell: str


class Done(Record):
    """The end of an operation, as the worker tells it."""

    cell: str
    status: Literal["ok", "error", "interrupted", "missing"]
    truncated: bool
    variables: Annotated[tuple[Variable, ...], FailFast()] = Field(max_length=MAX_VARIABLES)


Header = Ready | Call | Data | Done

_HEADERS: dict[Kind, type[Header]] = {
    Kind.READY: Ready,
    Kind.CALL: Call,
    Kind.DATA: Data,
    Kind.DONE: Done,
}

WAITING_BYTES = 4 << 20
"""Of frames that have arrived and were not asked for yet; then no more is read."""
READ_BYTES = 64 << 10
"""That are read at once, into a buffer that stays: a new one for each read costs more than the read."""
TOLD_ERRORS = 100
"""In a header; to describe more of them takes time."""
FRAME_BYTES = 1024
"""What a frame costs besides its body, about."""


class Channel(FrameWriter, asyncio.BufferedProtocol):
    """Frames over one connected stream socket, which the channel owns."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        super().__init__()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._arrived = bytearray()
        self._frames: collections.deque[tuple[Header, bytes]] = collections.deque()
        self._waiting_bytes = 0
        self._is_ready = False
        self._receiver: asyncio.Future[None] | None = None
        self._end: Exception | None = None
        """Why no more frames come."""

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        _, channel = await asyncio.get_running_loop().create_unix_connection(cls, sock=end)
        return channel

    async def receive(self) -> tuple[Header, bytes]:
        """The next frame: its header, checked, and its body.

        Raises:
            ChannelClosed
            ProtocolError: it is no frame, not one that a worker sends, or larger than allowed.
        """
        while not self._frames:
            if self._end is not None:
                raise self._end
            self._receiver = self._loop.create_future()
            await self._receiver
        header, body = self._frames.popleft()
        self._waiting_bytes -= FRAME_BYTES + len(body)
        if self._waiting_bytes <= WAITING_BYTES:
            if self._arrived:
                self._parse()
            self._transport.resume_reading()
        return header, body

    def close(self) -> None:
        """At once: what has not been written or taken is not wanted any more."""
        self._frames.clear()
        super().close()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._end = self._end or ChannelClosed()
        self._wake()

    def eof_received(self) -> None:
        """The transport would otherwise wait until all is written, and nobody could abort it then."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._arrived += self._buffer[:nbytes]
        self._parse()
        if self._waiting_bytes > WAITING_BYTES:
            self._transport.pause_reading()
        if self._frames:
            self._wake()

    def _parse(self) -> None:
        """Take the frames that have arrived, as far as more of them may wait."""
        try:
            while self._waiting_bytes <= WAITING_BYTES and (frame := self._take()) is not None:
                self._frames.append(frame)
                self._waiting_bytes += FRAME_BYTES + len(frame[1])
        except WireError as error:
            self._fail(ProtocolError.of(str(error)))
        except ValidationError as error:
            few = error.error_count() <= TOLD_ERRORS
            what = error.errors(include_url=False)[0]["msg"] if few else "it has nothing right"
            self._fail(ProtocolError.of(f"a wrong header ({what})"))

    def _take(self) -> tuple[Header, bytes] | None:
        """The first frame of what has arrived, if it is complete."""
        if len(self._arrived) < PREFIX.size:
            return None
        prefix = unpack_prefix(self._arrived[: PREFIX.size], MAX_BODY_FROM_SANDBOX)
        if prefix.kind not in _HEADERS:
            raise WireError(f"a frame of type {prefix.kind.name}, which only the host sends")
        begin = PREFIX.size + prefix.header_length
        end = begin + prefix.body_length
        if len(self._arrived) < end:
            return None
        if prefix.kind is Kind.READY:
            if self._is_ready:
                raise WireError("word that it is ready again")
            self._is_ready = True
        header = _HEADERS[prefix.kind].model_validate_json(self._arrived[PREFIX.size : begin], strict=True)
        body = bytes(self._arrived[begin:end])
        del self._arrived[:end]
        return header, body

    def _fail(self, error: ProtocolError) -> None:
        self._end = error
        self._arrived.clear()
        self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)


def texts_of(call: Call, body: bytes) -> list[str]:
    """
    Raises:
        ProtocolError: the body is not what the header says.
    """
    try:
        return split_texts(call.lengths, body)
    except WireError as error:
        raise ProtocolError.of(str(error)) from error
