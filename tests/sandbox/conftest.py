"""Sandboxes of every backend, for tests of what all of them have in common."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from palaestra.sandbox.base import CellLimits, HostFunction
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.launcher import DockerLauncher
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.launcher import Launcher
from palaestra.sandbox.unsafe import UnsafeLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

LIMITS = CellLimits(seconds=20, output_chars=1_000)
LAUNCHERS: Mapping[str, Callable[[], Launcher]] = {
    "unsafe": UnsafeLauncher,
    "jail-namespaces": lambda: JailLauncher(JailConfig(tier="namespaces")),
    "jail-landlock": lambda: JailLauncher(JailConfig(tier="landlock", python=python_for_everybody())),
    "docker": lambda: DockerLauncher(DockerConfig()),
}
"""A backend adds its name here; one that this machine does not give skips the test, with the reason."""


def python_for_everybody() -> str:
    """This interpreter; the system's, where root has this one for itself."""
    folders = Path(sys.executable).resolve().parents
    readable = os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in folders)
    return sys.executable if readable else "/usr/bin/python3"


MARKS = {"docker": [pytest.mark.docker]}


@pytest.fixture(scope="session", params=[pytest.param(name, marks=MARKS.get(name, [])) for name in LAUNCHERS])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    """Of each backend in turn."""
    return LAUNCHERS[request.param]()


@pytest.fixture
def new_sandbox(launcher: Launcher) -> Callable[..., WorkerSandbox]:
    """`new_sandbox(limits, functions)` is a session that is not started; both may be left out."""

    def new(
        limits: CellLimits = LIMITS, functions: Mapping[str, HostFunction] | None = None
    ) -> WorkerSandbox:
        return WorkerSandbox(launcher, limits, functions or {})

    return new


@pytest.fixture
def in_sandbox(new_sandbox: Callable[..., WorkerSandbox]) -> Callable[..., None]:
    """`in_sandbox(test, limits, functions)` runs the coroutine function `test` with a started session."""

    def run(
        test: Callable[[WorkerSandbox], Awaitable[None]],
        limits: CellLimits = LIMITS,
        functions: Mapping[str, HostFunction] | None = None,
    ) -> None:
        async def body() -> None:
            sandbox = new_sandbox(limits, functions)
            await sandbox.start()
            try:
                await test(sandbox)
            finally:
                await sandbox.close()

        asyncio.run(body())

    return run
