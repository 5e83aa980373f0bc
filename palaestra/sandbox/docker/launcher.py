"""The backend `docker`: each worker in a hardened container of its own."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import secrets
import socket
import struct
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import ImageNotFound
from docker.types import LogConfig, Mount, Ulimit

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.docker import supervisor
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.engine import connect, problems, requests_to_engine
from palaestra.sandbox.docker.image import USER, image_name
from palaestra.sandbox.docker.keeper import start_keeper
from palaestra.sandbox.docker.leftovers import folder_prefix, owner_labels, remove, sweep
from palaestra.sandbox.docker.worker import DockerWorker
from palaestra.sandbox.jail.kernel.resources import CORE, OPEN_FILES
from palaestra.sandbox.jail.kernel.tier import INODES
from palaestra.sandbox.launcher import discard
from palaestra.sandbox.streams import Streams, connected

SECCOMP = Path(__file__).with_name("seccomp.json")
OWN_MEMORY_MB = 64
"""Memory of the container beyond the worker's and the scratch folder's: the supervisor and the kernel."""
OWN_PROCESSES = 2
"""The supervisor's threads."""
PROCESS_LIMITS = {
    "core": CORE,
    "memlock": 0,
    "msgqueue": 0,
    "nofile": OPEN_FILES,
    "nproc": 1 << 15,
    "rtprio": 0,
}
"""Of each process; `nproc` counts those of all containers together, which have one user."""
LEAST_PROCESSES = {"runsc": 512}
"""gVisor's limit counts the threads of its own kernel too."""
START_SECONDS = 60.0
"""Elapsed time that a container may take to start."""
ACCEPT_SECONDS = 0.5
"""Elapsed time after which it is looked whether the container still lives."""
ENDED = (
    "the container ended while it started: raise sandbox.limits.memory_mb or sandbox.limits.processes, or "
    "make the image anew: palaestra sandbox build"
)
CREDENTIALS = struct.Struct("3i")
"""Process, user and group at the other end of a Unix socket."""


class DockerLauncher:
    """Starts workers in containers of the local Docker engine.

    A container has no network, no capability and no way to get one, a read-only root, one small scratch
    folder in memory, limits on memory and processes, system calls from a short list, and an ordinary user.
    The host shares nothing with it but one socket, over which it hands in the worker's streams. The
    container's first process keeps that connection; when the host closes it or dies, it ends, and the
    container with it.
    """

    def __init__(self, config: DockerConfig) -> None:
        self._config = config
        self._image = config.image or image_name()

    async def launch(self, limits: CellLimits) -> DockerWorker:
        launching = asyncio.get_running_loop().run_in_executor(None, self._launch, limits)
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            launching.add_done_callback(_discard)
            raise

    @functools.cached_property
    def _engine(self) -> docker.APIClient:
        """The engine, found able to keep the promises, and freed from the leftovers of dead owners."""
        engine = connect()
        with requests_to_engine():
            if found := problems(engine.info(), self._config.runtime):
                raise SandboxUnavailable(f"the Docker engine cannot isolate: {'; '.join(found)}")
            try:
                engine.inspect_image(self._image)
            except ImageNotFound as error:
                raise SandboxUnavailable(
                    f"there is no image {self._image}: make it with: palaestra sandbox build"
                ) from error
            sweep(engine)
        return engine

    def _launch(self, limits: CellLimits) -> DockerWorker:
        engine, name = self._engine, f"palaestra-{secrets.token_hex(8)}"
        try:
            start_keeper(os.getpid())
            with ExitStack() as undo:
                undo.callback(remove, engine, name)
                control = undo.enter_context(self._start(engine, name, limits))
                streams = self._hand_in(control, undo)
                undo.pop_all()
        except OSError as error:
            raise SandboxUnavailable(
                f"no container can be started ({error}): free memory, descriptors or room in "
                f"{tempfile.gettempdir()}"
            ) from error
        return DockerWorker(engine, name, control, streams)

    def _start(self, engine: docker.APIClient, name: str, limits: CellLimits) -> socket.socket:
        """Start a container; returns the connection to its first process."""
        with (
            tempfile.TemporaryDirectory(prefix=folder_prefix()) as folder,
            socket.socket(socket.AF_UNIX) as listener,
        ):
            address = os.path.join(folder, "socket")
            listener.bind(address)
            os.chmod(address, 0o666)  # the container's user must reach it; here the folder keeps others out
            listener.listen(1)
            with requests_to_engine():
                created = engine.create_container(**self._settings(engine, name, address, limits))
                if created["Warnings"]:
                    raise SandboxUnavailable(f"the Docker engine warns: {'; '.join(created['Warnings'])}")
                engine.start(created["Id"])
            return accept(engine, listener, created["Id"])

    def _hand_in(self, control: socket.socket, undo: ExitStack) -> Streams:
        """Give the container its side of the streams; returns the host's."""
        with ExitStack() as handed_in:
            streams, its_streams = connected(undo, handed_in)
            settings = {"processes": self._config.processes}
            ends = [end.fileno() for end in its_streams]
            socket.send_fds(control, [json.dumps(settings).encode()], ends)
        control.settimeout(START_SECONDS)
        match control.recv(1):
            case supervisor.STARTED:
                return streams
            case supervisor.NETWORK:
                raise SandboxUnavailable(
                    f"a container of the runtime {self._config.runtime!r} reaches a network though it should "
                    "have none: correct the runtime's arguments in the engine's daemon.json"
                )
            case _:
                raise SandboxUnavailable(ENDED)

    def _settings(
        self, engine: docker.APIClient, name: str, address: str, limits: CellLimits
    ) -> dict[str, Any]:
        """Of the container. No default of the engine that matters is relied on."""
        memory_mb = limits.memory_mb + limits.disk_mb + OWN_MEMORY_MB
        scratch = f"rw,nosuid,nodev,noexec,mode=1777,size={limits.disk_mb}m,nr_inodes={INODES}"
        return {
            "image": self._image,
            "name": name,
            "hostname": "sandbox",
            "user": USER,
            "labels": owner_labels(),
            "network_disabled": True,
            "use_config_proxy": False,
            "host_config": engine.create_host_config(
                runtime=self._config.runtime,
                init=False,
                auto_remove=True,
                network_mode="none",
                ipc_mode="none",
                cgroupns="private",
                read_only=True,
                tmpfs={supervisor.SCRATCH: scratch},
                mounts=[Mount(supervisor.SOCKET, address, type="bind", read_only=True)],
                mem_limit=f"{memory_mb}m",
                memswap_limit=f"{memory_mb}m",
                pids_limit=max(
                    limits.processes + OWN_PROCESSES, LEAST_PROCESSES.get(self._config.runtime, 0)
                ),
                ulimits=[Ulimit(name=name, soft=most, hard=most) for name, most in PROCESS_LIMITS.items()],
                cap_drop=["ALL"],
                security_opt=["no-new-privileges", f"seccomp={SECCOMP.read_text()}"],
                log_config=LogConfig(type=LogConfig.types.NONE),
            ),
        }


def accept(engine: docker.APIClient, listener: socket.socket, container: str) -> socket.socket:
    """The one connection, which must come from the container."""
    listener.settimeout(ACCEPT_SECONDS)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            control, _ = listener.accept()
        except TimeoutError:
            with requests_to_engine():
                if not engine.containers(filters={"id": container}):
                    raise SandboxUnavailable(ENDED) from None
            continue
        credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
        process, _, _ = CREDENTIALS.unpack(credentials)
        with suppress(OSError):  # it ended meanwhile
            if container in Path(f"/proc/{process}/cgroup").read_text():
                return control
        control.close()
        raise SandboxUnavailable(f"process {process}, which is not the container's, came to its socket")
    raise SandboxUnavailable(
        f"the container did not start within {START_SECONDS:g} s: see the engine's log, and palaestra doctor"
    )


def _discard(launching: asyncio.Future[DockerWorker]) -> None:
    """End a worker that nobody waits for any more."""
    if launching.exception() is None:
        discard(launching.result())
