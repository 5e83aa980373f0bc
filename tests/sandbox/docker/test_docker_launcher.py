"""What containers promise, seen from the host."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.image import image_name
from palaestra.sandbox.docker.launcher import SECCOMP, DockerLauncher, accept
from palaestra.sandbox.docker.leftovers import FOLDER, remove
from palaestra.sandbox.docker.worker import DockerWorker
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.watch import eventually

pytestmark = pytest.mark.docker

LIMITS = CellLimits(seconds=20, memory_mb=256, disk_mb=8)
IMMORTAL = """
import signal
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True:
    try:
        while True: pass
    except BaseException: pass
"""
HOST = f"""
import asyncio
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.launcher import DockerLauncher
from palaestra.sandbox.docker.worker import DockerWorker
from palaestra.sandbox.worker_sandbox import WorkerSandbox

async def body():
    sandbox = WorkerSandbox(DockerLauncher(DockerConfig()), CellLimits(), {{}})
    await sandbox.start()
    print("started", flush=True)
    await sandbox.run({IMMORTAL!r})

asyncio.run(body())
"""

STARTING = """
import asyncio
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.launcher import DockerLauncher

async def start_and_end(launcher):
    worker = await launcher.launch(CellLimits())
    worker.kill()
    worker.clean_up()

async def body():
    launcher = DockerLauncher(DockerConfig())
    await start_and_end(launcher)
    print("starting", flush=True)
    while True:
        await start_and_end(launcher)

asyncio.run(body())
"""


def containers(owner: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = connect().containers(
        all=True, filters={"label": f"palaestra.owner={owner}"}
    )
    return found


def sockets() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"{FOLDER}*"))


def processes_of(container: str) -> list[int]:
    listed = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [process for process in listed if container in _control_groups(process)]


def _control_groups(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cgroup").read_text()
    except OSError:
        return ""


def status_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert eventually(lambda: containers(os.getpid()) == [] and sockets() == [])


def with_sandbox(
    test: Callable[[WorkerSandbox], Awaitable[None]],
    config: DockerConfig | None = None,
) -> None:
    async def body() -> None:
        sandbox = WorkerSandbox(DockerLauncher(config or DockerConfig()), LIMITS, {})
        await sandbox.start()
        try:
            await test(sandbox)
        finally:
            await sandbox.close()

    asyncio.run(body())


def test_a_container_is_locked_as_seen_from_outside() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        (container,) = containers(os.getpid())
        found = processes_of(container["Id"])
        assert len(found) == 2
        for process in found:
            status = status_of(process)
            assert status["NoNewPrivs"] == "1"
            assert status["Seccomp"] == "2"
            assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
            assert set(status["Uid"].split() + status["Gid"].split() + status["Groups"].split()) == {"50000"}
            for space in ("net", "pid", "mnt", "ipc", "uts"):
                assert os.readlink(f"/proc/{process}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}")
        host = connect().inspect_container(container["Id"])["HostConfig"]
        assert host["Memory"] == host["MemorySwap"] == (256 + 8 + 64) << 20
        assert host["PidsLimit"] == 66
        assert host["ReadonlyRootfs"]
        assert host["Init"] is False

    with_sandbox(test)


def test_disk_is_bounded_in_bytes_and_in_files() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        fill = "with open('large', 'wb') as file:\n    while file.write(bytes(1 << 20)): pass"
        assert "No space left on device" in (await sandbox.run(fill)).error
        assert int((await sandbox.run("import os; os.stat('large').st_size")).value) <= 8 << 20
        many = "os.remove('large')\nfor number in range(10_000): open(str(number), 'w').close()"
        assert "No space left on device" in (await sandbox.run(many)).error
        assert (await sandbox.run("len(os.listdir()) < 5_000")).value == "True"

    with_sandbox(test)


def test_memory_of_several_processes_is_bounded_together() -> None:
    grow = """
import os, time
children = []
for _ in range(4):
    read, write = os.pipe()
    children.append(os.fork())
    if children[-1] == 0:
        data = bytearray(os.urandom(1)) * (150 << 20)
        os.write(write, b'x')
        time.sleep(60)
    os.close(write)
    os.read(read, 1)
[os.waitpid(child, os.WNOHANG)[0] for child in children].count(0)
"""

    async def test(sandbox: WorkerSandbox) -> None:
        assert (await sandbox.run(grow)).value in ("1", "2")
        killed = await sandbox.run("os.kill(os.getpid(), 9)")
        assert killed.error == "the process was killed because its container ran out of memory"

    with_sandbox(test, DockerConfig(processes=True))


def test_the_fate_of_a_worker_is_told() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        assert (await sandbox.run("import os; os._exit(3)")).error == "the process ended itself with status 3"
        await sandbox.start()
        assert (await sandbox.run("import os; os.kill(os.getpid(), 9)")).error.endswith("killed by SIGKILL")

    with_sandbox(test)


def test_an_immortal_cell_is_gone_after_its_limit() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        (container,) = containers(os.getpid())
        assert (await sandbox.run(IMMORTAL, seconds=0.5)).status == "timeout"
        assert processes_of(container["Id"]) == []
        assert containers(os.getpid()) == []

    with_sandbox(test)


def test_a_killed_host_leaves_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "started\n"
        (container,) = containers(host.pid)
        assert len(processes_of(container["Id"])) == 2
        host.kill()
    assert eventually(lambda: not processes_of(container["Id"]) and not containers(host.pid))


def test_a_host_killed_while_it_starts_containers_leaves_nothing() -> None:
    moments = random.Random(4)
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", STARTING], stdout=subprocess.PIPE, text=True) as host:
            assert host.stdout is not None
            assert host.stdout.readline() == "starting\n"
            time.sleep(moments.random() * 0.3)
            host.kill()
        assert eventually(lambda: not containers(host.pid) and not sockets())


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_cancelled_start_leaves_nothing(seconds: float) -> None:
    async def body() -> None:
        starting = asyncio.create_task(DockerLauncher(DockerConfig()).launch(LIMITS))
        await asyncio.sleep(seconds)
        starting.cancel()
        (started,) = await asyncio.gather(starting, return_exceptions=True)
        if isinstance(started, DockerWorker):  # it was faster
            started.kill()
            started.clean_up()

    asyncio.run(body())


def test_many_start_and_end_together() -> None:
    async def body() -> None:
        launcher = DockerLauncher(DockerConfig())

        async def use(number: int) -> None:
            sandbox = WorkerSandbox(launcher, LIMITS, {})
            await sandbox.start()
            assert (await sandbox.run(f"{number} + 1")).value == str(number + 1)
            await sandbox.close()

        await asyncio.gather(*map(use, range(12)))

    asyncio.run(body())


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (DockerConfig(image="palaestra-sandbox:absent"), "palaestra-sandbox:absent.*palaestra sandbox build"),
        (DockerConfig(runtime="absent"), "no runtime 'absent'.*daemon.json"),
    ],
)
def test_what_is_missing_is_told_with_the_way_out(config: DockerConfig, told: str) -> None:
    with pytest.raises(SandboxUnavailable, match=told):
        asyncio.run(DockerLauncher(config).launch(LIMITS))


def test_a_session_under_gvisor() -> None:
    if "runsc" not in connect().info()["Runtimes"]:
        pytest.skip("the engine has no runtime runsc")

    async def test(sandbox: WorkerSandbox) -> None:
        (container,) = containers(os.getpid())
        assert connect().inspect_container(container["Id"])["HostConfig"]["PidsLimit"] == 512
        await sandbox.run("import os")
        await asyncio.sleep(0.5)  # until the session is stopped
        kernel = await sandbox.run("os.uname().release")
        assert kernel.value not in ("", repr(os.uname().release))
        assert (await sandbox.run("import socket; socket.socket()")).status == "error"
        assert (await sandbox.run(IMMORTAL, seconds=0.5)).status == "timeout"

    with_sandbox(test, DockerConfig(runtime="runsc"))


def test_the_profile_of_system_calls_alone_denies_what_the_engine_allows() -> None:
    code = """
import errno, socket, sys
sys.path.append("/opt/palaestra")
from palaestra.sandbox.jail.kernel.libc import system_call
attempts = {
    **{f"socket of family {family}": ("socket", family, 3, 0) for family in (2, 10, 16, 38, 40)},
    "ptrace": ("ptrace", 0, 0, 0, 0),
    "io_uring_setup": ("io_uring_setup", 1, bytes(120)),
    "memfd_create": ("memfd_create", b"x", 0),
    "memfd_secret": ("memfd_secret", 0),
    "userfaultfd": ("userfaultfd", 1),
    "unshare": ("unshare", 0x10000000),
    "keyctl": ("keyctl", 0, -3, 0, 0, 0),
    "shmget": ("shmget", 0, 4096, 0o600),
    "membarrier": ("membarrier", 0, 0, 0),
    "getsockopt of a descriptor of the other end": ("getsockopt", 0, 1, 77, bytes(4), bytes([4, 0, 0, 0])),
    "sending out of band": ("sendto", 0, b"x", 1, 1, None, 0),
    "receiving out of band": ("recvfrom", 0, bytes(1), 1, 1, None, None),
    "a sister": ("clone", 0x8000, 0, 0, 0, 0),
}
for name, attempt in attempts.items():
    try:
        system_call(*attempt)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOSYS):
            continue
    sys.exit(f"{name} is allowed")
socket.socketpair()
"""
    engine = connect()
    settings = engine.create_host_config(
        network_mode="none",
        cap_drop=["ALL"],
        security_opt=["no-new-privileges", f"seccomp={SECCOMP.read_text()}"],
    )
    entrypoint = [os.path.realpath(sys.executable), "-I", "-c", code]
    container = engine.create_container(image_name(), entrypoint=entrypoint, host_config=settings)["Id"]
    try:
        engine.start(container)
        ended = engine.wait(container)
        assert ended["StatusCode"] == 0, engine.logs(container)
    finally:
        remove(engine, container)


def test_a_stranger_at_the_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as stranger:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        stranger.connect(str(tmp_path / "socket"))
        with pytest.raises(SandboxUnavailable, match=f"process {os.getpid()}, which is not the container's"):
            accept(connect(), listener, "f" * 64)


def test_a_container_that_ends_at_once_is_not_waited_for() -> None:
    engine = connect()
    container = engine.create_container(image_name())["Id"]
    ending = json.dumps([os.path.realpath(sys.executable), "-c", "pass"])
    image = engine.commit(container, changes=[f"ENTRYPOINT {ending}"])["Id"]
    try:
        with pytest.raises(SandboxUnavailable, match="ended while it started"):
            asyncio.run(DockerLauncher(DockerConfig(image=image)).launch(LIMITS))
    finally:
        remove(engine, container)
        engine.remove_image(image)
