"""From a backend's name to sessions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal

from palaestra.core.places import load
from palaestra.core.record import Record
from palaestra.sandbox.base import CellLimits, SandboxFactory
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.launcher import Launcher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

BACKENDS: Mapping[str, str] = {
    "docker": "palaestra.sandbox.docker.launcher:DockerLauncher",
    "jail": "palaestra.sandbox.jail.launcher:JailLauncher",
    "unsafe": "palaestra.sandbox.unsafe:UnsafeLauncher",
}
"""A backend's name, and the class of its launchers."""


class SandboxConfig(Record):
    backend: Literal["jail", "docker", "unsafe"] = "jail"
    """`jail`: locked up by the Linux kernel, with nothing to install. `docker`: a container of its own.
    `unsafe`: a process of its own, bounded in time, memory and output, but with the user's rights."""
    limits: CellLimits = CellLimits()
    jail: JailConfig = JailConfig()
    docker: DockerConfig = DockerConfig()


def sandbox_factory(config: SandboxConfig) -> SandboxFactory:
    """Sessions of the backend that `config` names; its module is imported now, not before.

    Raises:
        ConfigError: what the backend needs is not installed.
    """
    return functools.partial(WorkerSandbox, _launcher(config), config.limits)


async def try_out(factory: SandboxFactory) -> None:
    """Start a session, and end it.

    Raises:
        SandboxUnavailable: there can be none.
    """
    sandbox = factory({})
    try:
        await sandbox.start()
    finally:
        await sandbox.close()


def _launcher(config: SandboxConfig) -> Launcher:
    kind = load(BACKENDS[config.backend], f"the sandbox backend {config.backend}")
    match config.backend:
        case "jail":
            launcher: Launcher = kind(config.jail)
        case "docker":
            launcher = kind(config.docker)
        case "unsafe":
            launcher = kind()
    return launcher
