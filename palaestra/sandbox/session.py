"""The conversation with one worker, whatever backend started it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from palaestra.sandbox.base import CellLimits, HostFunction
from palaestra.sandbox.channel import Call, Channel, ChannelClosed, Done, ProtocolError, Ready, texts_of
from palaestra.sandbox.worker.wire import Kind, join_texts

CALLS_UNDER_WAY = 64
"""Frames with calls that are served at once; more of them wait in the socket, and their senders with them."""


class Session:
    """Sends operations to a worker, one at a time, and serves the calls that its cells make meanwhile."""

    def __init__(self, channel: Channel, functions: Mapping[str, HostFunction]) -> None:
        self._channel = channel
        self._functions = functions

    async def open(self, limits: CellLimits, scratch: str | None) -> None:
        """Tell the worker its limits and wait until it has taken them.

        `scratch` is a folder for the worker to remove should the host vanish.

        Raises:
            ChannelClosed, ProtocolError
        """
        hello: dict[str, object] = {
            "functions": list(self._functions),
            "memory_mb": limits.memory_mb,
            "output_chars": limits.output_chars,
            "scratch": scratch,
        }
        await self._channel.send(Kind.HELLO, hello)
        header, _ = await self._channel.receive()
        if not isinstance(header, Ready):
            raise ProtocolError.of("something before it was ready")

    async def operate(
        self,
        kind: Kind,
        fields: Mapping[str, object],
        body: bytes = b"",
        pieces: Iterable[bytes] = (),
        *,
        seconds: float,
    ) -> tuple[Done, str]:
        """Have one operation done: what the worker claims about it, and its text.

        `seconds` are elapsed ones without those in which at least one call was being served. After any of
        the errors the worker must be killed.

        Raises:
            TimeoutError, ChannelClosed, ProtocolError
        """
        cell = secrets.token_hex(16)
        calls: set[asyncio.Task[None]] = set()
        async with asyncio.timeout(seconds) as timeout:
            clock = _Clock(timeout)
            try:
                await self._channel.send(kind, {**fields, "cell": cell}, body)
                for piece in pieces:
                    await self._channel.send(Kind.PIECE, {}, piece)
                while True:
                    header, data = await self._channel.receive()
                    if isinstance(header, Ready) or header.cell != cell:
                        raise ProtocolError.of("a frame that belongs to no running cell")
                    if isinstance(header, Done):
                        return header, data.decode(errors="replace")
                    call = asyncio.create_task(self._serve(header, texts_of(header, data), clock))
                    calls.add(call)
                    call.add_done_callback(calls.discard)
                    while len(calls) >= CALLS_UNDER_WAY:
                        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)

    async def _serve(self, call: Call, texts: Sequence[str], clock: _Clock) -> None:
        """Answer one call. Whatever its function raises is told to the cell, as text."""
        if call.function not in self._functions:
            answers: Sequence[str] | BaseException = LookupError(f"there is no function {call.function!r}")
        else:
            with clock.stopped():
                (answers,) = await asyncio.gather(
                    self._functions[call.function](texts), return_exceptions=True
                )
            if not isinstance(answers, BaseException) and len(answers) != len(texts):
                answers = ValueError(f"{len(answers)} answers for {len(texts)} texts")
        with suppress(ChannelClosed):  # the operation finds out by itself
            if isinstance(answers, BaseException):
                text = f"{type(answers).__name__}: {answers}"
                await self._channel.send(
                    Kind.REPLY, {"call": call.call, "error": True}, text.encode(errors="replace")
                )
            else:
                lengths, body = join_texts(answers)
                await self._channel.send(Kind.REPLY, {"call": call.call, "lengths": lengths}, body)


class _Clock:
    """Stops the time limit of an operation while the host works for it."""

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._left = 0.0
        self._holders = 0

    @contextmanager
    def stopped(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        if self._holders == 0:
            end = self._limit.when()
            assert end is not None
            self._left = end - loop.time()
            self._limit.reschedule(None)
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if self._holders == 0 and not self._limit.expired():
                self._limit.reschedule(loop.time() + self._left)
