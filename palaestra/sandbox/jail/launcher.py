"""Starting workers in the jail."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from socket import AF_UNIX, SHUT_RDWR, SOCK_SEQPACKET, recv_fds, socket, socketpair
from typing import Any

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.kernel.tier import PAUSE, RESUME, Limits, Settings
from palaestra.sandbox.jail.zygote import MESSAGE, START_SECONDS, CannotIsolate, Zygote, failure
from palaestra.sandbox.launcher import cloudpickle_folder, discard
from palaestra.sandbox.streams import Streams, connected

logger = logging.getLogger(__name__)

TIERS = ("namespaces", "landlock")
"""The stronger one first."""
REMEDIES = (
    "use a kernel from 5.13 on with user namespaces or Landlock switched on, or the docker backend "
    "(sandbox.backend: docker)"
)
PRINT_FOLDERS = (
    "import sysconfig as s; print(*sorted({s.get_path('purelib'), s.get_path('platlib')}), sep='\\n')"
)
END_SECONDS = 1.0
"""Elapsed time that a session has to end by itself before it is killed from outside."""
FATE_SECONDS = 1.0


class JailLauncher:
    """Starts workers that the kernel locks up.

    They have no network, no file of the host's but Python's own to read, no environment, no descriptor but
    the channel and the pipes, no capability, and no way to another process. Memory, threads, disk and
    (unless they are allowed) processes are bounded. When the host ends, they end.
    """

    def __init__(self, config: JailConfig) -> None:
        self._config = config

    async def launch(self, limits: CellLimits) -> JailWorker:
        try:
            worker = await self._launch(limits) or await self._launch(limits)
            if worker is None:
                raise CannotIsolate("the process that sessions are forked from ended twice")
            return worker
        except CannotIsolate as error:
            raise SandboxUnavailable(f"no session can be isolated: {error}; {REMEDIES}") from error
        except OSError as error:
            raise SandboxUnavailable(
                f"no session can be started: {error.strerror or error}; free memory, processes or open files"
            ) from error

    async def _launch(self, limits: CellLimits) -> JailWorker | None:
        """None when the zygote ended meanwhile."""
        zygote = _CHOSEN.get(self._config)
        if zygote is None:
            return await self._launch_first(limits)
        if not zygote.is_running():
            await asyncio.to_thread(zygote.start)
        return await _begin(zygote, limits)

    async def _launch_first(self, limits: CellLimits) -> JailWorker | None:
        """Choose the tier by starting a session in it, once for this process: when the machine gives less
        later, there are no sessions, instead of weaker ones. What it is only short of now is not missing.

        None when another session has chosen meanwhile, or when nothing but the limits is in the way, which
        the next attempt then tells.
        """
        failures = []
        for tier in TIERS if self._config.tier == "auto" else (self._config.tier,):
            try:
                zygote = await asyncio.to_thread(_zygote, self._config, tier)
                worker = await _begin_or_try_out(zygote, limits)
            except CannotIsolate as error:
                if self._config in _CHOSEN:
                    return None
                failures.append(f"tier {tier}: {error}")
            else:
                if self._config not in _CHOSEN:
                    logger.info("sandbox: tier %s of the jail%s", tier, "".join(f" ({f})" for f in failures))
                if _CHOSEN.setdefault(self._config, zygote) is zygote:
                    return worker
                if worker is not None:
                    discard(worker)
                return None
        raise CannotIsolate("; ".join(failures))


@dataclass(frozen=True)
class JailWorker:
    control: socket
    """The connection to the session's first process, the supervisor."""
    supervisor: int
    """A descriptor of that process."""
    tier: str
    scratch: str
    cloudpickle: str
    streams: Streams

    def pause(self) -> None:
        self._tell(PAUSE)

    def resume(self) -> None:
        self._tell(RESUME)

    def _tell(self, word: bytes) -> None:
        with suppress(OSError):  # the supervisor ended
            self.control.send(word)

    async def fate(self) -> str:
        try:
            with self.control.dup() as control:  # the worker may be killed meanwhile
                async with asyncio.timeout(FATE_SECONDS):
                    message, _ = await _receive(control)
        except TimeoutError:
            return "closed its channel"
        return str(message.get("ended", "was killed by SIGKILL"))

    def kill(self) -> None:
        self.control.shutdown(SHUT_RDWR)  # a copy in a fork of the host cannot hold it open

    def clean_up(self) -> None:
        if not _has_ended(self.supervisor, END_SECONDS):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.supervisor, signal.SIGKILL)
            _has_ended(self.supervisor, END_SECONDS)
        self.control.close()
        os.close(self.supervisor)
        if self.tier == "landlock":  # a supervisor that was killed could not do it
            shutil.rmtree(self.scratch, ignore_errors=True)


def _has_ended(process: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


_MAKING = threading.Lock()
_ZYGOTES: dict[tuple[JailConfig, str], Zygote] = {}
_CHOSEN: dict[JailConfig, Zygote] = {}
"""Of those the one that has started a session."""


def _zygote(config: JailConfig, tier: str) -> Zygote:
    """The one of this process for such sessions, started.

    Raises:
        CannotIsolate, OSError
    """
    with _MAKING:
        if (config, tier) not in _ZYGOTES:
            _ZYGOTES[config, tier] = new_zygote(config, tier)
        zygote = _ZYGOTES[config, tier]
    zygote.start()
    return zygote


def new_zygote(config: JailConfig, tier: str) -> Zygote:
    """
    Raises:
        CannotIsolate
    """
    python, folders = config.python or sys.executable, []
    if config.site_packages:
        asked = [python, "-I", "-c", PRINT_FOLDERS]
        try:
            folders = subprocess.run(asked, capture_output=True, check=True, text=True).stdout.splitlines()
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotIsolate(f"{python} does not tell where its packages are ({error})") from error
    settings = Settings(tuple(folders), str(cloudpickle_folder()), config.processes)
    return Zygote(python, tier, settings)


async def _begin_or_try_out(zygote: Zygote, limits: CellLimits) -> JailWorker | None:
    """None when a session can be started, but not this one.

    Raises:
        CannotIsolate, OSError
    """
    with suppress(CannotIsolate):
        if worker := await _begin(zygote, limits):
            return worker
    await asyncio.to_thread(zygote.try_out)
    return None


async def _begin(zygote: Zygote, limits: CellLimits) -> JailWorker | None:
    """
    Raises:
        CannotIsolate, OSError
    """
    with ExitStack() as theirs, ExitStack() as ours:
        control, its_control = socketpair(AF_UNIX, SOCK_SEQPACKET)
        ours.enter_context(control)
        theirs.enter_context(its_control)
        streams, its_streams = connected(ours, theirs)
        zygote.fork(
            Limits(limits.memory_mb << 20, limits.processes, limits.disk_mb << 20),
            [end.fileno() for end in (its_control, *its_streams)],
        )
        theirs.close()
        control.setblocking(False)
        try:
            async with asyncio.timeout(START_SECONDS):
                message, descriptors = await _receive(control)
        except TimeoutError as error:
            what = f"the session's first process does not answer within {START_SECONDS:g} seconds"
            raise OSError(errno.ETIMEDOUT, what) from error
        if not message and not zygote.is_running():
            return None
        if "scratch" not in message:
            raise failure(message)
        if not descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        worker = JailWorker(control, descriptors[0], zygote.tier, **message, streams=streams)
        ours.pop_all()
        return worker


async def _receive(control: socket) -> tuple[dict[str, Any], list[int]]:
    """The next message of a supervisor; empty when it ended."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(control, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(control)
    try:
        message, descriptors, _, _ = recv_fds(control, MESSAGE, 1)
    except ConnectionError:
        return {}, []
    return (json.loads(message) if message else {}), list(descriptors)
