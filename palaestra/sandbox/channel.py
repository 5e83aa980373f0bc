"""The host's end of the channel to a sandboxed process: nothing that arrives on it is trusted.

The frames themselves are described in `palaestra.sandbox.worker.wire`.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from palaestra.core.errors import SandboxError
from palaestra.core.record import Record
from palaestra.sandbox.base import Variable
from palaestra.sandbox.worker.wire import (
    MAX_BODY_FROM_SANDBOX,
    PREFIX,
    Kind,
    WireError,
    pack,
    split_texts,
    unpack_prefix,
)


class ProtocolError(SandboxError):
    """The sandboxed process sent what no worker sends; its session is over."""

    @classmethod
    def of(cls, what: str) -> ProtocolError:
        return cls(f"the sandboxed process sent {what}; its session was ended: run the task again")


class ChannelClosed(Exception):
    """The sandboxed process closed the channel, most likely by ending."""


class Ready(Record):
    """The worker took its limits and waits for operations."""


class Call(Record):
    """A cell calls a host function with a batch of texts."""

    cell: str
    call: int = Field(ge=0)
    function: str
    lengths: tuple[Annotated[int, Field(ge=0)], ...]
    """Of the texts, in bytes."""


class Done(Record):
    """The end of an operation, as the worker tells it."""

    cell: str
    status: Literal["ok", "error", "missing"]
    truncated: bool
    variables: tuple[Variable, ...]


Header = Ready | Call | Done

_HEADERS: dict[Kind, type[Header]] = {Kind.READY: Ready, Kind.CALL: Call, Kind.DONE: Done}


class Channel:
    """Frames over one connected stream socket, which the channel owns."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Channel:
        return cls(*await asyncio.open_unix_connection(sock=end, limit=1 << 20))

    async def send(self, kind: Kind, header: dict[str, object], body: bytes = b"") -> None:
        """Write one frame, and wait while the other end is slow to read.

        Raises:
            ChannelClosed
        """
        try:
            self._writer.write(pack(kind, header, body))
            await self._writer.drain()
        except ConnectionError as error:
            raise ChannelClosed from error

    async def receive(self) -> tuple[Header, bytes]:
        """The next frame: its header, checked, and its body.

        Raises:
            ChannelClosed
            ProtocolError: it is no frame, not one that a worker sends, or larger than allowed.
        """
        try:
            prefix = unpack_prefix(await self._reader.readexactly(PREFIX.size), MAX_BODY_FROM_SANDBOX)
            if prefix.kind not in _HEADERS:
                raise WireError(f"a frame of type {prefix.kind.name}, which only the host sends")
            header = await self._reader.readexactly(prefix.header_length)
            body = await self._reader.readexactly(prefix.body_length)
            return _HEADERS[prefix.kind].model_validate_json(header, strict=True), body
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ChannelClosed from error
        except WireError as error:
            raise ProtocolError.of(str(error)) from error
        except ValidationError as error:
            raise ProtocolError.of(f"a wrong header ({error.errors()[0]['msg']})") from error

    def close(self) -> None:
        self._writer.close()


def texts_of(call: Call, body: bytes) -> list[str]:
    """
    Raises:
        ProtocolError: the body is not what the header says.
    """
    try:
        return split_texts(call.lengths, body)
    except WireError as error:
        raise ProtocolError.of(str(error)) from error
