"""Frames between the host and a sandboxed process.

A frame is a prefix of 16 bytes (type, version, two zero bytes, header length u32, body length u64, all in
network order), a header (one JSON object, strict) and a body (raw bytes, mostly UTF-8 text). Structure
travels in small headers, text in bodies: JSON can cost its reader 27 times its size in memory.

    host → sandbox                                 sandbox → host
    HELLO      functions, scratch, cloudpickle,    READY
               and the worker's limits
    EXEC       cell               body: code       CALL  cell, call, function, lengths   body: texts
    LOAD       cell, name, long                    DATA  cell                            body: bytes
    FILE       cell, name                          DONE  cell, status, truncated, variables
    GET        cell, name                                                body: value, error or names
    SNAPSHOT   cell, leave_out
    RESTORE    cell
    PIECE      last               body: bytes

    host → busy sandbox
    REPLY      call, lengths      body: texts
    REPLY      call, error        body: message
    INTERRUPT  cell

The first two lists travel on the channel, a stream socket; the third in a pipe of its own, so that the thread
that does the operations can read the channel itself, and what is meant for it while it is busy need not wait
behind them.

EXEC, LOAD, FILE, GET, SNAPSHOT and RESTORE are the operations. PIECEs follow LOAD, FILE and RESTORE up to the
one that is the last. `cell` is a random name for one operation, and each is answered by one DONE, SNAPSHOT by
DATA before it. While one is under way, CALLs may come in any number and are answered in any order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from io import BufferedIOBase
from typing import Any, NamedTuple

VERSION = 1
PREFIX = struct.Struct("!BBHIQ")
MAX_HEADER = 64 << 10
"""Bytes of any header."""
MAX_BODY_FROM_SANDBOX = 16 << 20
"""Bytes of a body that the host accepts. The sandbox trusts the host and has no such limit."""
MAX_TEXTS = 1000
"""In one CALL."""
MAX_VARIABLES = 100
"""In one DONE."""
PIECE = 1 << 20
"""Bytes of a PIECE or DATA frame, about."""


class Kind(IntEnum):
    HELLO = 1
    EXEC = 2
    LOAD = 3
    FILE = 4
    GET = 5
    SNAPSHOT = 6
    RESTORE = 7
    PIECE = 8
    INTERRUPT = 9
    REPLY = 10
    READY = 17
    CALL = 18
    DATA = 19
    DONE = 20


class WireError(Exception):
    """What arrived is no frame."""


def _refuse(constant: str) -> object:
    raise ValueError(constant)


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse)


class Prefix(NamedTuple):
    kind: Kind
    header_length: int
    body_length: int


class Frame(NamedTuple):
    kind: Kind
    header: dict[str, Any]
    body: bytes


def pack(kind: Kind, header: Mapping[str, object], body: bytes = b"") -> bytes:
    """The bytes of a frame.

    Raises:
        WireError: the header is too long.
    """
    encoded = _ENCODER.encode(header).encode(errors="replace")
    if len(encoded) > MAX_HEADER:
        raise WireError(f"a header of {len(encoded)} bytes; at most {MAX_HEADER} are allowed")
    return PREFIX.pack(kind, VERSION, 0, len(encoded), len(body)) + encoded + body


def unpack_prefix(data: bytes | bytearray, max_body: int | None) -> Prefix:
    """What a prefix announces, checked before anything is allocated for it.

    Raises:
        WireError: another version, an unknown type, or a length above its limit.
    """
    kind, version, zero, header_length, body_length = PREFIX.unpack(data)
    if version != VERSION or zero != 0:
        raise WireError("bytes that are no frame of this version")
    if header_length > MAX_HEADER or (max_body is not None and body_length > max_body):
        raise WireError(f"a frame with {header_length} bytes of header and {body_length} of body")
    try:
        return Prefix(Kind(kind), header_length, body_length)
    except ValueError:
        raise WireError(f"a frame of the unknown type {kind}") from None


def unpack_header(data: bytes | bytearray) -> dict[str, Any]:
    """
    Raises:
        WireError: it is not one JSON object, or holds a number that JSON does not have.
    """
    try:
        header = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        raise WireError("a header that is not JSON") from None
    if not isinstance(header, dict):
        raise WireError("a header that is no JSON object")
    return header


def receive(stream: BufferedIOBase) -> Frame | None:
    """The next frame on a blocking, buffered stream from a trusted sender; None when it has ended."""
    prefix = stream.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    kind, header_length, body_length = unpack_prefix(prefix, max_body=None)
    header, body = stream.read(header_length), stream.read(body_length)
    if len(header) < header_length or len(body) < body_length:
        return None
    return Frame(kind, unpack_header(header), body)


def join_texts(texts: Sequence[str]) -> tuple[list[int], bytes]:
    """Texts as one body, and the length in bytes of each. What UTF-8 cannot say becomes a question mark."""
    encoded = [text.encode(errors="replace") for text in texts]
    return [len(text) for text in encoded], b"".join(encoded)


def split_texts(lengths: Sequence[int], body: bytes) -> list[str]:
    """
    Raises:
        WireError: the lengths are not those of the body.
    """
    if sum(lengths) != len(body) or any(length < 0 for length in lengths):
        raise WireError("a body that does not have the length of its texts")
    texts, start = [], 0
    for length in lengths:
        texts.append(body[start : start + length].decode(errors="replace"))
        start += length
    return texts
