"""The plainest backend: a process of its own, bounded but not isolated."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from palaestra.core.errors import SandboxError, SandboxUnavailable
from palaestra.sandbox.base import CellLimits, CellResult, HostFunction
from palaestra.sandbox.channel import Channel, ChannelClosed, Done
from palaestra.sandbox.leftovers import kill_group, kill_stragglers
from palaestra.sandbox.output import OutputPipe
from palaestra.sandbox.session import Session
from palaestra.sandbox.worker.excerpt import shorten
from palaestra.sandbox.worker.wire import PIECE_CHARACTERS, Kind

WORKER = Path(__file__).with_name("worker")
START_SECONDS = 60.0
"""Elapsed time that a process may take until it is ready."""
LOAD_SECONDS = 600.0
"""Elapsed time that binding a text may take; the largest take seconds."""


@dataclass(frozen=True)
class _Process:
    """A worker that runs, and what the host holds for it."""

    popen: subprocess.Popen[bytes]
    scratch: str
    channel: Channel
    session: Session
    stdout: OutputPipe
    stderr: OutputPipe


class ProcessSandbox:
    """Runs cells in a Python process that is bounded but not isolated.

    Bounded: elapsed time, address space and output of a cell; no core dumps; an environment that holds
    nothing of the host's; no inherited descriptors but the channel; a scratch folder of its own. When it is
    closed, or a cell runs out of time, the process is killed with all that it started, and the scratch
    folder is removed.

    Not isolated: cells have the user's rights. They can read and write the user's files, use the network and
    send signals, and code that means to can start processes which outlive the session. Give it only models
    and prompts that you would let type on your own terminal.
    """

    def __init__(self, limits: CellLimits, functions: Mapping[str, HostFunction]) -> None:
        self._limits = limits
        self._functions = dict(functions)
        self._process: _Process | None = None
        self._busy = False

    async def start(self) -> None:
        if self._process is not None:
            raise SandboxError("the sandbox is running; close it before starting it again")
        self._process = await self._spawn()
        async with self._operation() as process:
            try:
                async with asyncio.timeout(START_SECONDS):
                    await process.session.open(self._limits, process.scratch)
            except (TimeoutError, ChannelClosed) as error:
                said, _ = process.stderr.take()
                raise SandboxUnavailable(
                    f"the sandbox process does not start ({said.strip() or 'it gives no reason'}): free "
                    f"memory, or raise sandbox.limits.memory_mb, which is {self._limits.memory_mb}"
                ) from error

    async def run(self, code: str, *, seconds: float | None = None) -> CellResult:
        limit = self._limits.seconds if seconds is None else seconds
        started = time.monotonic()
        async with self._operation() as process:
            try:
                done, text = await process.session.operate(
                    Kind.EXEC, {}, code.encode(errors="replace"), seconds=limit
                )
                result = self._as_result(done, text)
            except TimeoutError:
                result = CellResult(status="timeout", error=f"the cell was killed after {limit:g} seconds")
            except ChannelClosed:
                result = CellResult(status="died", error=f"the process {await _fate(process.popen)}")
            (stdout, stdout_cut), (stderr, stderr_cut) = process.stdout.take(), process.stderr.take()
        if result.status in ("timeout", "died"):
            self._kill()
        update = {
            "stdout": stdout,
            "stderr": stderr,
            "seconds": time.monotonic() - started,
            "truncated": result.truncated or stdout_cut or stderr_cut,
        }
        return result.model_copy(update=update)

    async def put(self, name: str, text: str) -> None:
        starts = range(0, len(text), PIECE_CHARACTERS)
        pieces = (text[start : start + PIECE_CHARACTERS].encode(errors="replace") for start in starts)
        fields = {"name": name, "pieces": len(starts)}
        async with self._operation() as process:
            try:
                done, problem = await process.session.operate(
                    Kind.LOAD, fields, pieces=pieces, seconds=LOAD_SECONDS
                )
            except (TimeoutError, ChannelClosed):
                self._kill()
                problem = "the process ended"
            else:
                problem = "" if done.status == "ok" else problem
        if problem:
            raise SandboxError(
                f"{name} ({len(text)} characters) cannot be loaded: {problem}; raise "
                f"sandbox.limits.memory_mb, which is {self._limits.memory_mb}"
            )

    async def get(self, name: str) -> str | None:
        async with self._operation() as process:
            try:
                done, text = await process.session.operate(
                    Kind.GET, {"name": name}, seconds=self._limits.seconds
                )
            except (TimeoutError, ChannelClosed) as error:
                raise SandboxError(f"the sandbox ended while {name} was read; start it again") from error
        if done.status == "error":
            raise SandboxError(f"{name} cannot be read: {text}; make it a shorter or simpler text")
        return text if done.status == "ok" else None

    async def close(self) -> None:
        self._kill()

    async def _spawn(self) -> _Process:
        if sys.platform == "win32":
            raise SandboxUnavailable("the process sandbox needs Linux or macOS: use WSL2")
        scratch = tempfile.mkdtemp(prefix="palaestra-")
        host_end, worker_end = socket.socketpair()
        channel = await Channel.open(host_end)
        try:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", WORKER, str(worker_end.fileno())],
                cwd=scratch,
                env={"HOME": scratch, "TMPDIR": scratch, "MALLOC_ARENA_MAX": "2"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=(worker_end.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            channel.close()
            os.rmdir(scratch)
            raise SandboxUnavailable(
                f"the sandbox process does not start: {error.strerror}; free memory or processes"
            ) from error
        finally:
            worker_end.close()
        assert popen.stdout is not None
        assert popen.stderr is not None
        return _Process(
            popen,
            scratch,
            channel,
            Session(channel, self._functions),
            OutputPipe(popen.stdout, self._limits.output_chars),
            OutputPipe(popen.stderr, self._limits.output_chars),
        )

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[_Process]:
        """The process, for one operation at a time; killed if the operation does not come to its end."""
        if self._process is None:
            raise SandboxError("the sandbox is not running; start it first")
        if self._busy:
            raise SandboxError("the sandbox is busy; a session serves one cell at a time")
        self._busy = True
        try:
            yield self._process
        except BaseException:
            self._kill()
            raise
        finally:
            self._busy = False

    def _kill(self) -> None:
        """Leave nothing behind. Does not wait for anything but the kernel, so that nobody can cancel it."""
        process, self._process = self._process, None
        if process is None:
            return
        kill_group(process.popen.pid)
        process.popen.wait()
        kill_stragglers(process.scratch)
        process.channel.close()
        process.stdout.close()
        process.stderr.close()
        shutil.rmtree(process.scratch, ignore_errors=True)

    def _as_result(self, done: Done, text: str) -> CellResult:
        text = shorten(text, self._limits.output_chars)
        if done.status == "ok":
            return CellResult(status="ok", value=text, variables=done.variables, truncated=done.truncated)
        return CellResult(status="error", error=text, variables=done.variables, truncated=done.truncated)


async def _fate(popen: subprocess.Popen[bytes]) -> str:
    """How a process ended that has closed its channel. It is not waited for: its number must stay its own."""
    for _ in range(50):
        ended = os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is None:
            await asyncio.sleep(0.01)
        elif ended.si_code == os.CLD_EXITED:
            return f"ended itself with status {ended.si_status}"
        else:
            return f"was killed by {signal.Signals(ended.si_status).name}"
    return "closed its channel"
