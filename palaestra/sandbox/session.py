"""The conversation with one worker, whatever backend started it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from palaestra.core.errors import PalaestraError
from palaestra.sandbox.base import CellLimits, HostFunction
from palaestra.sandbox.channel import Call, Channel, Done, ProtocolError, Ready, texts_of
from palaestra.sandbox.frame_writer import ChannelClosed, FrameWriter
from palaestra.sandbox.operation import Clock, Operation
from palaestra.sandbox.timer import Timer
from palaestra.sandbox.worker.wire import Kind, join_texts

logger = logging.getLogger(__name__)

REFUSALS = 1000
"""Calls beyond its budget that a cell is told of; a cell that goes on has its session ended."""


class Answer(NamedTuple):
    """The end of an operation as the worker claims it."""

    done: Done
    text: str
    data: bytes


class Session:
    """Sends operations to a worker, one at a time, and serves the calls that its cells make meanwhile."""

    def __init__(
        self,
        channel: Channel,
        answers: FrameWriter,
        limits: CellLimits,
        functions: Mapping[str, HostFunction],
    ) -> None:
        self._channel = channel
        self._answers = answers
        self._limits = limits
        self._functions = functions
        self._timer = Timer()
        self._calls = 0
        self._operation: Operation | None = None

    def close(self) -> None:
        """What is under way ends with ChannelClosed."""
        self._timer.cancel()
        self._channel.close()
        self._answers.close()

    async def open(self, scratch: str, cloudpickle: str) -> None:
        """Tell the worker its limits and folders, and wait until it has taken them.

        Raises:
            ChannelClosed, ProtocolError
        """
        hello: dict[str, object] = {
            "functions": list(self._functions),
            "scratch": scratch,
            "cloudpickle": cloudpickle,
            **self._limits.model_dump(include={"memory_mb", "output_chars", "snapshot_mb", "calls"}),
        }
        await self._channel.send(Kind.HELLO, hello)
        header, _ = await self._channel.receive()
        if not isinstance(header, Ready):
            raise ProtocolError.of("something before it was ready")

    def interrupt(self) -> None:
        """Ask the worker to interrupt the operation under way, if there is one."""
        if self._operation is not None:
            self._answers.write(Kind.INTERRUPT, {"cell": self._operation.cell})

    async def operate(
        self,
        kind: Kind,
        fields: Mapping[str, object],
        body: bytes = b"",
        pieces: Iterable[bytes] | None = None,
        *,
        seconds: float,
        most_data: int = 0,
    ) -> Answer:
        """Have one operation done.

        `seconds` are elapsed ones without those in which at least one call was being served; then the
        operation is interrupted, and has a second to end. After any of the errors the worker must be
        killed.

        Raises:
            TimeoutError, ChannelClosed, ProtocolError
        """
        clock = Clock(self._timer, seconds, self._limits.total_seconds, self.interrupt, self._give_up)
        operation = self._operation = Operation(secrets.token_hex(16), clock)
        try:
            await self._channel.send(kind, {**fields, "cell": operation.cell}, body)
            if pieces is not None:
                for piece in pieces:
                    await self._channel.send(Kind.PIECE, {"last": False}, piece)
                await self._channel.send(Kind.PIECE, {"last": True})
            return await self._listen(operation, most_data)
        except ChannelClosed as error:
            if clock.is_over:
                raise TimeoutError from error
            raise
        finally:
            self._operation = None
            await operation.end()
            self._timer.clear()

    def _give_up(self) -> None:
        if self._operation is not None:  # not when it has ended, and only calls that it made have not
            self._operation.cancel()
            self._channel.close()
            self._answers.close()

    async def _listen(self, operation: Operation, most_data: int) -> Answer:
        data = bytearray()
        while True:
            header, body = await self._channel.receive()
            if isinstance(header, Ready) or header.cell != operation.cell:
                raise ProtocolError.of("a frame that belongs to no running cell")
            if isinstance(header, Done):
                return Answer(header, body.decode(errors="replace"), bytes(data))
            if isinstance(header, Call):
                await self._accept(header, body, operation)
            else:
                data += body
                if len(data) > most_data:
                    raise ProtocolError.of("more data than it may")

    async def _accept(self, call: Call, body: bytes, operation: Operation) -> None:
        """Serve a call, in a task of its own, when few enough others are under way."""
        texts = texts_of(call, body)
        if refusal := self._refusal(call, len(body), operation):
            operation.refusals += 1
            if operation.refusals > REFUSALS:
                raise ProtocolError.of("calls without end")
            await self._answers.send(Kind.REPLY, {"call": call.call, "error": True}, _as_bytes(refusal))
            return
        self._calls += max(1, len(texts))
        operation.calls += max(1, len(texts))
        operation.bytes += len(body)
        operation.begin(self._serve(call, texts, operation), len(body))
        await asyncio.sleep(0)  # the call gets to its first wait before the next one is taken
        await operation.room.wait()

    def _refusal(self, call: Call, size: int, operation: Operation) -> str:
        limits, texts = self._limits, max(1, len(call.lengths))
        if call.function not in self._functions:
            return f"there is no function {call.function!r}"
        if operation.calls + texts > limits.calls:
            return f"a cell may give {limits.calls} texts to functions (sandbox.limits.calls)"
        if operation.bytes + size > limits.call_mb << 20:
            return f"a cell may give {limits.call_mb} MiB to functions (sandbox.limits.call_mb)"
        if self._calls + texts > limits.session_calls:
            most = limits.session_calls
            return f"a session may give {most} texts to functions (sandbox.limits.session_calls)"
        return ""

    async def _serve(self, call: Call, texts: Sequence[str], operation: Operation) -> None:
        """Answer one call. That its function failed is told to the cell, as text."""
        header: dict[str, object] = {"call": call.call}
        try:
            with operation.clock.stopped():
                answers = await self._functions[call.function](texts)
            if (
                isinstance(answers, str)
                or len(answers) != len(texts)
                or not all(isinstance(answer, str) for answer in answers)
            ):
                raise TypeError(f"{call.function} did not give one text for each of {len(texts)}")
            header["lengths"], body = join_texts(answers)
            del answers
        except PalaestraError as error:
            header["error"], body = True, _as_bytes(f"{type(error).__name__}: {error}")
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            logger.warning("warning: the host function %s failed", call.function, exc_info=True)
            header["error"], body = True, _as_bytes(f"{call.function} failed with {type(error).__name__}")
        operation.hold(len(body))
        with suppress(ChannelClosed):  # the cell waits in vain, as long as it may
            await self._answers.send(Kind.REPLY, header, body)


def _as_bytes(text: str) -> bytes:
    return text.encode(errors="replace")
