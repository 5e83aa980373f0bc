"""Frames on the channel between the host and a sandboxed process.

A frame is a prefix of 16 bytes (type, version, two zero bytes, header length u32, body length u64, all in
network order), a header (one JSON object, strict) and a body (raw bytes, mostly UTF-8 text). Structure
travels in small headers, text in bodies: JSON can cost its reader 27 times its size in memory.

    host → sandbox                                 sandbox → host
    HELLO  functions, memory_mb, output_chars      READY
    EXEC   cell            body: code              CALL   cell, call, function, lengths   body: texts
    LOAD   cell, name, pieces                      DONE   cell, status, truncated, variables
    PIECE                  body: text                                         body: value or error
    GET    cell, name
    REPLY  call, lengths   body: texts
    REPLY  call, error     body: message

EXEC, LOAD with its PIECEs, and GET are the operations; `cell` is a random name for one of them, and each is
answered by one DONE. While one is under way, CALLs may come in any number and are answered in any order.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

VERSION = 1
PREFIX = struct.Struct("!BBHIQ")
MAX_HEADER = 64 << 10
"""Bytes of any header."""
MAX_BODY_FROM_SANDBOX = 16 << 20
"""Bytes of a body that the host accepts. The sandbox trusts the host and has no such limit."""
PIECE_CHARACTERS = 256 << 10
"""Characters of text per PIECE: at most 1 MiB."""


class Kind(IntEnum):
    HELLO = 1
    EXEC = 2
    LOAD = 3
    PIECE = 4
    GET = 5
    REPLY = 6
    READY = 17
    CALL = 18
    DONE = 19


class WireError(Exception):
    """What arrived is no frame."""


class Prefix(NamedTuple):
    kind: Kind
    header_length: int
    body_length: int


class Frame(NamedTuple):
    kind: Kind
    header: dict[str, Any]
    body: bytes | bytearray


def pack(kind: Kind, header: Mapping[str, object], body: bytes = b"") -> bytes:
    """The bytes of a frame.

    Raises:
        WireError: the header is too long.
    """
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    encoded = text.encode(errors="replace")
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
        header = json.loads(data, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise WireError("a header that is not JSON") from None
    if not isinstance(header, dict):
        raise WireError("a header that is no JSON object")
    return header


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def receive(channel: socket.socket) -> Frame | None:
    """The next frame on a blocking socket, from a trusted sender; None when the other end is closed."""
    prefix = _read(channel, PREFIX.size)
    if prefix is None:
        return None
    kind, header_length, body_length = unpack_prefix(prefix, max_body=None)
    header, body = _read(channel, header_length), _read(channel, body_length)
    return None if header is None or body is None else Frame(kind, unpack_header(header), body)


def _read(channel: socket.socket, length: int) -> bytearray | None:
    data = bytearray(length)
    view = memoryview(data)
    while view:
        count = channel.recv_into(view)
        if count == 0:
            return None
        view = view[count:]
    return data


def join_texts(texts: Sequence[str]) -> tuple[list[int], bytes]:
    """Texts as one body, and the length in bytes of each. What UTF-8 cannot say becomes a question mark."""
    encoded = [text.encode(errors="replace") for text in texts]
    return [len(text) for text in encoded], b"".join(encoded)


def split_texts(lengths: Sequence[int], body: bytes | bytearray) -> list[str]:
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
