"""What the host does with any bytes that come out of a sandbox: the subject of both fuzzers."""

from __future__ import annotations

import asyncio
import socket
import struct

from palaestra.sandbox.channel import Call, Channel, ProtocolError, texts_of
from palaestra.sandbox.frame_writer import ChannelClosed
from palaestra.sandbox.worker.wire import MAX_BODY_FROM_SANDBOX, MAX_HEADER, VERSION, Kind

CELL = "0" * 32
HEADERS = (
    "{}",
    f'{{"cell":"{CELL}","call":0,"function":"echo","lengths":[1]}}',
    f'{{"cell":"{CELL}","status":"ok","truncated":false,"variables":[{{"name":"x","type":"int","size":1}}]}}',
    f'{{"cell":"{CELL}"}}',
)
"""Of frames that a worker sends."""


def decode(data: bytes) -> int:
    """Read frames until there are no more or one is refused; how many were taken.

    Anything but a `ProtocolError` or the end is a defect, and so is a frame above its limits.
    """
    with asyncio.Runner() as runner:
        return runner.run(_decode(data))


async def _decode(data: bytes) -> int:
    host, sandbox = socket.socketpair()
    with sandbox:
        sandbox.sendall(data)
    channel = await Channel.open(host)
    try:
        return await _frames(channel)
    finally:
        channel.close()


async def _frames(channel: Channel) -> int:
    taken = 0
    while True:
        try:
            header, body = await channel.receive()
            assert len(body) <= MAX_BODY_FROM_SANDBOX
            assert len(header.model_dump_json()) <= 8 * MAX_HEADER
            if isinstance(header, Call):
                assert sum(map(len, texts_of(header, body))) <= len(body)
        except (ChannelClosed, ProtocolError):
            return taken
        taken += 1


def as_frames(kinds: list[Kind], parts: list[bytes]) -> bytes:
    """Frames with true lengths around any headers and bodies, so that these are reached."""
    pairs = zip(kinds, parts[::2], parts[1::2], strict=False)
    return b"".join(
        struct.pack("!BBHIQ", kind, VERSION, 0, len(header), len(body)) + header + body
        for kind, header, body in pairs
    )
