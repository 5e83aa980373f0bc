"""A worker in a container."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, socket

import docker

from palaestra.sandbox.docker import supervisor
from palaestra.sandbox.docker.leftovers import remove
from palaestra.sandbox.jail.kernel.tier import PAUSE, RESUME
from palaestra.sandbox.launcher import signal_name
from palaestra.sandbox.streams import Streams

FATE_SECONDS = 0.5
"""Elapsed time within which the container's first process tells how the worker ended."""


@dataclass(frozen=True)
class DockerWorker:
    """A worker in a container, which lives as long as the `control` connection to its first process."""

    engine: docker.APIClient
    container: str
    control: socket
    streams: Streams
    scratch: str = supervisor.SCRATCH
    cloudpickle: str = supervisor.CLOUDPICKLE

    def pause(self) -> None:
        self._tell(PAUSE)

    def resume(self) -> None:
        self._tell(RESUME)

    def _tell(self, word: bytes) -> None:
        with suppress(OSError):  # the container ended
            self.control.send(word)

    async def fate(self) -> str:
        try:
            with self.control.dup() as control:  # the worker may be killed meanwhile
                control.setblocking(False)
                async with asyncio.timeout(FATE_SECONDS):
                    told = await asyncio.get_running_loop().sock_recv(control, 64)
            status, memory_ran_out = map(int, told.split())
            code = os.waitstatus_to_exitcode(status)
            if memory_ran_out and code == -signal.SIGKILL:
                return "was killed because its container ran out of memory"
            return f"ended itself with status {code}" if code >= 0 else f"was killed by {signal_name(-code)}"
        except (TimeoutError, OSError, ValueError):
            return "closed its channel"

    def kill(self) -> None:
        self.control.shutdown(SHUT_RDWR)

    def clean_up(self) -> None:
        self.control.close()
        remove(self.engine, self.container)
