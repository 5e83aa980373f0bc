"""Every attack against every backend, and the check that nothing is left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks import watch
from tests.attacks.attack import Target
from tests.attacks.backends import BACKENDS, launcher

PR_SET_CHILD_SUBREAPER = 36
WHERE_PROCESSES_MATTER = ("test_processes", "test_kernel", "test_lifecycle")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "attack(number, title, on_unsafe, known): one of docs/sandbox.md's table"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "target" in metafunc.fixturenames:
        marker = next(metafunc.definition.iter_markers("attack"))
        chosen = [
            name
            for name in BACKENDS
            if (name != "unsafe" or marker.args[2] != "not tried")
            and (name != "jail-processes" or metafunc.definition.path.stem in WHERE_PROCESSES_MATTER)
        ]
        marks = {"docker": [pytest.mark.docker]}
        metafunc.parametrize(
            "target", [pytest.param(name, marks=marks.get(name, [])) for name in chosen], indirect=True
        )


@pytest.fixture(scope="session", autouse=True)
def _orphans_come_to_us() -> None:
    """A process whose parent dies becomes a child of this one, so that it is found."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@pytest.fixture(scope="session", autouse=True)
def _folder_of_their_own() -> Iterator[None]:
    """Temporary folders are made where nobody else makes any, so that those which are left are ours."""
    with tempfile.TemporaryDirectory(prefix="attacks-") as folder:
        os.chmod(folder, 0o755)
        tempfile.tempdir = folder
        yield
        tempfile.tempdir = None


@pytest.fixture(scope="session")
def _warm() -> set[str]:
    """The backends that have served a session: what they keep for the next one is there from now on."""
    return set()


@pytest.fixture
def target(request: pytest.FixtureRequest, _warm: set[str]) -> Iterator[Target]:
    try:
        started = launcher(request.param)
        if request.param not in _warm:
            asyncio.run(_one_session(WorkerSandbox(started, CellLimits(), {})))
            _warm.add(request.param)
    except SandboxUnavailable as reason:
        if request.param == "docker":
            raise  # these tests run where an engine was asked for
        pytest.skip(str(reason))
    with _nothing_left(request.param), watch.open_folder() as folder:
        yield Target(request.param, started, folder)


async def _one_session(sandbox: WorkerSandbox) -> None:
    await sandbox.start()
    await sandbox.close()


@contextmanager
def _nothing_left(backend: str) -> Iterator[None]:
    """No process, descriptor, mount, control group, folder or container more than before, after the test."""
    before = _surroundings(backend)
    yield
    left: dict[str, set[object]] = {}

    def is_clean() -> bool:
        _reap_orphans()
        left.clear()
        left.update(
            {what: now - before[what] for what, now in _surroundings(backend).items() if now - before[what]}
        )
        return not left

    assert watch.eventually(is_clean), left


def _surroundings(backend: str) -> dict[str, set[object]]:
    return {
        "processes": {*watch.descendants()},
        "descriptors": set(os.listdir("/proc/self/fd")),
        "mounts": {line for line in watch.mounts() if "palaestra" in line},
        "control groups": {folder for folder in watch.control_groups() if "palaestra" in folder},
        "folders": {*os.listdir(tempfile.gettempdir())},
        "containers": {*watch.containers(os.getpid())} if backend == "docker" else set(),
    }


def _reap_orphans() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
