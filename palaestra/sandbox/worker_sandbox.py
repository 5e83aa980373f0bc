"""A session in a worker, whatever backend started it."""

from __future__ import annotations

import asyncio
import keyword
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from palaestra.core.errors import SandboxError, SandboxUnavailable
from palaestra.sandbox.base import CellLimits, CellResult, HostFunction, Snapshot
from palaestra.sandbox.channel import Channel, ProtocolError
from palaestra.sandbox.frame_writer import ChannelClosed, FrameWriter
from palaestra.sandbox.launcher import Launcher, Worker
from palaestra.sandbox.leftovers import in_thread
from palaestra.sandbox.output import OutputPipe
from palaestra.sandbox.session import Answer, Session
from palaestra.sandbox.timer import Timer
from palaestra.sandbox.worker.excerpt import shorten
from palaestra.sandbox.worker.wire import MAX_BODY_FROM_SANDBOX, PIECE, Kind

START_SECONDS = 60.0
"""Elapsed time that a worker may take until it is ready."""
LOAD_SECONDS = 600.0
"""Elapsed time that a text or file may take on its way; the largest take seconds."""
LISTEN_SECONDS = 0.002
"""Elapsed time of an operation after which its output is read as it comes. Most end before, and what they
printed is then taken at once; a pipe holds it meanwhile."""
PAUSE_SECONDS = 0.1
"""Elapsed time after an operation, at least, after which the session stands still until the next one."""
MOST_NAMES = 1 << 20
"""Characters of the names and reasons of a snapshot."""


@dataclass
class _Running:
    """A worker that runs, and what is read from it."""

    worker: Worker
    session: Session
    stdout: OutputPipe
    stderr: OutputPipe
    timer: Timer
    """During an operation it is set to listen, after it to pause."""
    ending: ExitStack
    """Ends it all when it is closed."""
    loop: asyncio.AbstractEventLoop
    """In which all of this was made, and works alone."""
    is_paused: bool = False

    def begin(self) -> None:
        self.timer.set(self.timer.now() + LISTEN_SECONDS, self._listen)  # not in a loop that is closed
        if self.is_paused:
            self.worker.resume()
            self.is_paused = False

    def rest(self) -> None:
        self.stdout.rest()
        self.stderr.rest()
        self.timer.set(self.timer.now() + PAUSE_SECONDS, self._pause)

    def _listen(self) -> None:
        self.stdout.listen()
        self.stderr.listen()

    def _pause(self) -> None:
        self.worker.pause()
        self.is_paused = True


class WorkerSandbox:
    """A session, in a worker of its own while it is started."""

    def __init__(self, launcher: Launcher, limits: CellLimits, functions: Mapping[str, HostFunction]) -> None:
        for name in functions:
            _check_name(name, "give the host function")
        self._launcher = launcher
        self._limits = limits
        self._functions = dict(functions)
        self._running: _Running | None = None
        self._busy = False
        self._ending: Future[None] | None = None
        """What is still to be waited for after a worker was killed."""

    async def start(self) -> None:
        if self._running is not None or self._busy:
            raise SandboxError("the sandbox is running; close it before starting it again")
        self._busy = True
        try:
            await self._gone()
            self._running = await self._launch()
        finally:
            self._busy = False
        async with _Operation(self) as running:
            try:
                async with asyncio.timeout(START_SECONDS):
                    await running.session.open(running.worker.scratch, running.worker.cloudpickle)
            except (TimeoutError, ChannelClosed) as error:
                said, _ = running.stderr.take()
                raise SandboxUnavailable(
                    f"the sandbox process does not start ({said.strip() or 'it gives no reason'}): free "
                    f"memory, or raise sandbox.limits.memory_mb, which is {self._limits.memory_mb}"
                ) from error

    async def run(self, code: str, *, seconds: float | None = None) -> CellResult:
        limit = self._limits.seconds if seconds is None else seconds
        if not limit > 0:
            raise SandboxError(f"a cell cannot take {limit:g} seconds; give more than 0")
        body = code.encode(errors="replace")
        started = time.monotonic()
        async with _Operation(self) as running:
            try:
                answer = await running.session.operate(Kind.EXEC, {}, body, seconds=limit)
                claimed = self._claimed(answer, time.monotonic() - started)
            except TimeoutError:
                claimed = {"status": "timeout", "error": f"the cell was killed after {limit:g} seconds"}
            except ChannelClosed:
                claimed = {"status": "died", "error": f"the process {await running.worker.fate()}"}
            (stdout, stdout_cut), (stderr, stderr_cut) = running.stdout.take(), running.stderr.take()
        if claimed["status"] in ("timeout", "died"):
            await self.close()
        claimed["truncated"] = claimed.get("truncated", False) or stdout_cut or stderr_cut
        return CellResult(**claimed, stdout=stdout, stderr=stderr, seconds=time.monotonic() - started)

    async def interrupt(self) -> None:
        if self._running is not None:
            self._running.session.interrupt()

    async def put(self, name: str, text: str | Path) -> None:
        if name in self._functions:
            raise SandboxError(f"{name} is the name of a host function; put the text under another name")
        _check_name(name, "put the text under")
        most = self._limits.text_mb << 20
        if isinstance(text, str):
            fields = {"name": name, "long": len(text) > most}
            problem = await self._send(Kind.LOAD, fields, _pieces_of_text(text))
        else:
            with _open_file(text) as file:
                fields = {"name": name, "long": os.fstat(file.fileno()).st_size > most}
                problem = await self._send(Kind.LOAD, fields, _pieces_of_file(file))
        if problem:
            raise SandboxError(
                f"{name} cannot be loaded: {problem}; raise sandbox.limits.memory_mb, which is "
                f"{self._limits.memory_mb}, or lower sandbox.limits.text_mb, which is {self._limits.text_mb}"
            )

    async def put_file(self, name: str, path: Path) -> None:
        if name in ("", ".", "..") or "/" in name or not name.isprintable() or len(name.encode()) > 255:
            raise SandboxError(f"{name[:100]!r} is no file name; give one of printable characters without /")
        with _open_file(path) as file:
            problem = await self._send(Kind.FILE, {"name": name}, _pieces_of_file(file))
        if problem:
            raise SandboxError(
                f"{name} cannot be written: {problem}; raise sandbox.limits.disk_mb, which is "
                f"{self._limits.disk_mb}"
            )

    async def get(self, name: str) -> str | None:
        answer = await self._operate(Kind.GET, {"name": name}, f"{name} was read")
        if answer.done.status in ("ok", "missing"):
            return answer.text if answer.done.status == "ok" else None
        raise SandboxError(f"{name} cannot be read: {answer.text}; make it a shorter or simpler text")

    async def snapshot(self, leave_out: Collection[str] = ()) -> Snapshot:
        most_data = (self._limits.snapshot_mb << 20) + MAX_BODY_FROM_SANDBOX
        fields = {"leave_out": list(leave_out)}
        answer = await self._operate(Kind.SNAPSHOT, fields, "the snapshot was taken", most_data=most_data)
        if answer.done.status != "ok":
            raise SandboxError(f"there is no snapshot: {answer.text}; raise sandbox.limits")
        reasons = _read_names(answer.text)
        return Snapshot(
            data=answer.data,
            kept=tuple(name for name, reason in reasons.items() if not reason),
            lost={name: reason for name, reason in reasons.items() if reason},
        )

    async def restore(self, snapshot: Snapshot) -> Mapping[str, str]:
        data = snapshot.data
        pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
        answer = await self._operate(Kind.RESTORE, {}, "the snapshot was restored", pieces)
        if answer.done.status != "ok":
            raise SandboxError(f"the snapshot cannot be restored: {answer.text}; raise sandbox.limits")
        return _read_names(answer.text)

    async def close(self) -> None:
        self._kill()
        await self._gone()

    async def _launch(self) -> _Running:
        worker = await self._launcher.launch(self._limits)
        with ExitStack() as ending:
            ending.callback(self._end, worker)
            for stream in worker.streams:
                ending.callback(stream.close)
            channel = await Channel.open(worker.streams.channel)
            ending.callback(channel.close)
            answers = await FrameWriter.into(worker.streams.answers)
            session = Session(channel, answers, self._limits, self._functions)
            ending.callback(session.close)
            stdout, stderr = (
                OutputPipe(stream, self._limits.output_chars)
                for stream in (worker.streams.stdout, worker.streams.stderr)
            )
            ending.callback(stdout.close)
            ending.callback(stderr.close)
            timer = Timer()
            ending.callback(timer.cancel)
            loop = asyncio.get_running_loop()
            return _Running(worker, session, stdout, stderr, timer, ending.pop_all(), loop)

    async def _operate(
        self,
        kind: Kind,
        fields: Mapping[str, object],
        what: str,
        pieces: Iterator[bytes] | None = None,
        *,
        most_data: int = 0,
    ) -> Answer:
        """Have an operation done that is no cell; the session ends if it takes too long."""
        async with _Operation(self) as running:
            try:
                return await running.session.operate(
                    kind, fields, pieces=pieces, seconds=self._limits.seconds, most_data=most_data
                )
            except (TimeoutError, ChannelClosed) as error:
                raise SandboxError(f"the sandbox ended while {what}; start it again") from error

    async def _send(self, kind: Kind, fields: Mapping[str, object], pieces: Iterator[bytes]) -> str:
        """Why the worker could not take it; empty if it could."""
        async with _Operation(self) as running:
            try:
                answer = await running.session.operate(kind, fields, pieces=pieces, seconds=LOAD_SECONDS)
            except (TimeoutError, ChannelClosed):
                await self.close()
                return "the process ended"
        return "" if answer.done.status == "ok" else answer.text

    def _kill(self) -> None:
        """Have all end. Nothing is awaited, so that nobody can cancel it; `_gone` waits for the rest."""
        running, self._running = self._running, None
        if running is not None:
            running.ending.close()

    def _end(self, worker: Worker) -> None:
        worker.kill()
        self._ending = in_thread(worker.clean_up)

    async def _gone(self) -> None:
        """Wait until nothing is left of the worker that was killed.

        Raises:
            SandboxError: something stays.
        """
        if self._ending is None:
            return
        ending = self._ending
        try:
            await asyncio.shield(asyncio.wrap_future(ending))
        finally:
            if ending.done():
                self._ending = None

    def _claimed(self, answer: Answer, seconds: float) -> dict[str, Any]:
        """What the worker says of a cell, as fields of a `CellResult`."""
        done = answer.done
        text = shorten(answer.text, self._limits.output_chars)
        if done.status == "missing":
            raise ProtocolError.of("a status that no cell has")
        if done.status == "interrupted":
            text += f"\nThe cell was interrupted after {seconds:.1f} seconds; the variables are there."
        return {
            "status": done.status,
            "value" if done.status == "ok" else "error": text,
            "variables": done.variables,
            "truncated": done.truncated,
        }


class _Operation:
    """What runs, for one operation at a time; killed if the operation does not come to its end."""

    def __init__(self, sandbox: WorkerSandbox) -> None:
        self._sandbox = sandbox

    async def __aenter__(self) -> _Running:
        if self._sandbox._busy:
            raise SandboxError("the sandbox is busy; a session serves one cell at a time")
        if self._sandbox._running is None:
            raise SandboxError("the sandbox is not running; start it first")
        if self._sandbox._running.loop is not asyncio.get_running_loop():
            raise SandboxError(
                "the sandbox was started in another event loop; close it, and start it in this one"
            )
        self._running = self._sandbox._running
        self._running.begin()
        self._sandbox._busy = True
        return self._running

    async def __aexit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        was_closed = self._sandbox._running is not self._running
        try:
            if error is not None:
                self._sandbox._kill()
            if isinstance(error, Exception):  # and not that nobody waits any more
                await self._sandbox._gone()
                if was_closed:
                    raise SandboxError("the sandbox was closed while it was busy; start it again") from error
        finally:
            if self._sandbox._running is self._running:
                self._running.rest()
            self._sandbox._busy = False


def _check_name(name: str, advice: str) -> None:
    """
    Raises:
        SandboxError: a cell cannot say it.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise SandboxError(f"{name[:100]!r} is no name of Python's; {advice} another one")


def _pieces_of_text(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), PIECE // 4):
        yield text[start : start + PIECE // 4].encode(errors="replace")


def _pieces_of_file(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _open_file(path: Path) -> BinaryIO:
    """
    Raises:
        SandboxError: it cannot be opened, or is no regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise SandboxError(f"{path} cannot be read: {error}; check the path") from error
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb", buffering=0)
    os.close(descriptor)
    raise SandboxError(f"{path} is no regular file; give one that is")


def _read_names(text: str) -> dict[str, str]:
    """Names with reasons, one a line, as the worker gives them."""
    if len(text) > MOST_NAMES:
        raise ProtocolError.of("too many names")
    pairs = (line.partition("\t") for line in text.split("\n") if line)
    return {name: reason for name, _, reason in pairs}
