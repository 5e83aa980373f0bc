"""Whatever arrives on the channel is read as frames or refused, with bounded memory."""

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from palaestra.sandbox.channel import (
    WAITING_BYTES,
    Call,
    Channel,
    Data,
    Done,
    ProtocolError,
    Ready,
    texts_of,
)
from palaestra.sandbox.frame_writer import ChannelClosed
from palaestra.sandbox.worker.wire import MAX_HEADER, PREFIX, Kind, WireError, pack
from tests.attacks.watch import HANG_SECONDS

CELL = "0" * 32

headers = st.one_of(
    st.binary(max_size=100),
    st.sampled_from([b"{", b"[" * 60_000, b'{"a":' * 9_000, b'{"cell": NaN}', b'{"call": 1e999999}']),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {},
        optional={
            "cell": st.just(CELL) | st.text(max_size=9) | st.integers(),
            "call": st.integers(-(2**70), 2**70) | st.text(max_size=3),
            "function": st.text(max_size=9) | st.none(),
            "lengths": st.lists(st.integers(-3, 9), max_size=4) | st.none(),
            "status": st.sampled_from(["ok", "error", "interrupted", "missing", "other"]),
            "truncated": st.booleans() | st.integers(0, 1),
            "variables": st.just([]) | st.just([{"name": "a", "type": "int", "size": -1}]) | st.just([{}]),
            "__class__": st.just("os.system"),
        },
    ).map(lambda value: json.dumps(value).encode()),
)


def frame(kind: int, header: bytes, body: bytes, more: int = 0) -> bytes:
    return PREFIX.pack(kind, 1, 0, len(header), len(body) + more) + header + body


frames = st.builds(frame, st.sampled_from(list(Kind)) | st.integers(0, 255), headers, st.binary(max_size=99))
bad = st.binary(max_size=99) | st.builds(
    frame, st.sampled_from(list(Kind)), headers, st.binary(max_size=9), st.sampled_from([1, 2**40, 2**63])
)


async def read_all(data: bytes, cuts: list[int]) -> list[object]:
    """What a channel makes of data that arrives in pieces, up to its end."""
    here, there = socket.socketpair()
    channel = await Channel.open(here)
    loop = asyncio.get_running_loop()
    there.setblocking(False)

    async def feed() -> None:
        with there, contextlib.suppress(ConnectionError):
            places = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
            for start, stop in zip([0, *places], places, strict=False):
                await loop.sock_sendall(there, data[start:stop])
                await asyncio.sleep(0)

    feeding = asyncio.create_task(feed())
    received: list[object] = []
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while True:
                header, body = await channel.receive()
                received.append(header)
                if isinstance(header, Call):
                    with contextlib.suppress(ProtocolError):
                        texts_of(header, body)
    except (ChannelClosed, ProtocolError) as error:
        received.append(error)
    finally:
        channel.close()
        await feeding
    return received


@settings(deadline=None, max_examples=300)
@given(st.lists(frames, max_size=4), bad, st.lists(st.integers(0, 400), max_size=5))
@example([], frame(Kind.DONE, b"x" * MAX_HEADER, b"", 2**63), [])
def test_any_bytes_are_frames_or_refused(sent: list[bytes], rest: bytes, cuts: list[int]) -> None:
    received = asyncio.run(read_all(b"".join([*sent, rest]), cuts))
    *good, end = received
    assert isinstance(end, ChannelClosed | ProtocolError)
    assert all(isinstance(header, Ready | Call | Data | Done) for header in good)
    assert len(good) <= len(sent) + 1
    assert len(str(end)) < 500


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 9), max_size=20), st.lists(st.integers(0, 2_000), max_size=9))
def test_frames_arrive_in_order_however_they_are_cut(numbers: list[int], cuts: list[int]) -> None:
    data = b"".join(
        pack(Kind.CALL, {"cell": CELL, "call": n, "function": "f", "lengths": [n]}, b"x" * n) for n in numbers
    )
    *calls, end = asyncio.run(read_all(data, cuts))
    assert [call.call for call in calls if isinstance(call, Call)] == numbers
    assert isinstance(end, ChannelClosed)


@pytest.mark.parametrize(
    "data",
    [
        frame(Kind.DONE, b"", b"", 2**63),
        frame(Kind.DONE, b"[" + b"[],," * 15_000, b""),
        PREFIX.pack(Kind.DONE, 1, 0, 2**32 - 1, 0),
        frame(Kind.DATA, b'{"cell": "x"}', b"") * 100_000,
    ],
)
def test_hostile_bytes_cost_little_memory(data: bytes) -> None:
    async def body() -> None:
        here, there = socket.socketpair()
        channel = await Channel.open(here)
        there.setblocking(False)
        flood = data + b"\x00" * (20 << 20)
        before = memory()
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(there, flood))
        await asyncio.wait([sending], timeout=0.5)
        assert memory() - before < 4 * WAITING_BYTES
        sending.cancel()
        await asyncio.wait([sending])
        assert sending.cancelled() or isinstance(sending.exception(), ConnectionError)
        channel.close()
        there.close()

    asyncio.run(body())


def test_frames_beyond_what_may_wait_arrive_in_order() -> None:
    count = 3 * WAITING_BYTES // 1024
    data = b"".join(
        pack(Kind.CALL, {"cell": CELL, "call": number, "function": "f", "lengths": []})
        for number in range(count)
    )
    *calls, end = asyncio.run(read_all(data, []))
    assert [call.call for call in calls if isinstance(call, Call)] == list(range(count))
    assert isinstance(end, ChannelClosed)


def test_a_hostile_header_is_given_up_at_its_first_error() -> None:
    """To collect and to tell tens of thousands of them would hold the host up."""
    variable = b'{"name":"a","type":"int","size":1,"changed":true}'
    done = b'{"cell":"","status":"ok","truncated":false,"variables":[%s]}'
    for variables in (b",".join([b"{}"] * 20_000), b",".join([variable] * 1_200), b"1," * 30_000 + b"1"):
        (end,) = asyncio.run(read_all(frame(Kind.DONE, done % variables, b""), []))
        assert isinstance(end, ProtocolError)
        with pytest.raises(ValidationError) as caught:
            Done.model_validate_json(done % variables, strict=True)
        assert caught.value.error_count() <= 3
    (good, _) = asyncio.run(read_all(frame(Kind.DONE, done % b",".join([variable] * 100), b""), []))
    assert isinstance(good, Done)


def test_a_worker_is_ready_once() -> None:
    received = asyncio.run(read_all(frame(Kind.READY, b"{}", b"") * 2, []))
    assert [type(each) for each in received] == [Ready, ProtocolError]


def memory() -> int:
    """Bytes that this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    async def body() -> None:
        here, there = socket.socketpair()
        channel = await Channel.open(here)
        large = asyncio.create_task(channel.send(Kind.REPLY, {"call": 1}, b"x" * (1 << 20)))
        small = asyncio.create_task(channel.send(Kind.REPLY, {"call": 2}, b""))
        await asyncio.sleep(0.1)
        assert not large.done()
        assert not small.done()
        there.close()
        await asyncio.gather(large, small, return_exceptions=True)
        with pytest.raises(ChannelClosed):
            await channel.send(Kind.REPLY, {}, b"")
        with pytest.raises(ChannelClosed):
            await channel.receive()
        channel.close()

    asyncio.run(body())


def test_a_header_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(WireError, match="at most"):
        pack(Kind.REPLY, {"text": "x" * MAX_HEADER})
