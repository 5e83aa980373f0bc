"""Where sessions begin and end, seen from outside."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

LIMITS = CellLimits(seconds=20)


def below(ancestor: int) -> dict[int, int]:
    """The parent of each living process that descends from this one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            parents[int(stat.parent.name)] = int(parent)
    found = {ancestor}
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return {process: parents[process] for process in found - {ancestor}}


def exists(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def within_a_second(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 1
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds


def memory_mounts() -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "tmpfs" in line]


def zygotes() -> set[int]:
    return {process for process, parent in below(os.getpid()).items() if parent == os.getpid()}


def test_processes_on_the_way_to_a_worker_hold_nothing_of_the_hosts(
    launcher: JailLauncher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither environment nor descriptors, nor the rights of root."""
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    inherited = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(inherited, True)

    async def body() -> None:
        before = set(below(os.getpid()))
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        await sandbox.start()
        for process in set(below(os.getpid())) - before:
            assert Path(f"/proc/{process}/environ").read_bytes() == b""
            links = {os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir()}
            kinds = {link.partition(":[")[0] for link in links}
            assert kinds <= {"/dev/null", "/proc", "pipe", "socket", "anon_inode", "pidfd"}, kinds
        await sandbox.close()

    asyncio.run(body())
    os.close(inherited)


def test_closing_is_quick_and_leaves_nothing(launcher: JailLauncher, tier: str) -> None:
    """No process, mount, folder or descriptor."""
    code = """
import os, threading, time
threading.Thread(target=time.sleep, args=(9,)).start()
os.getcwd()
"""

    async def body() -> list[float]:
        seconds = []
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        await sandbox.start()
        await sandbox.close()
        await asyncio.sleep(0.05)
        mounts = memory_mounts()
        processes, descriptors = set(below(os.getpid())), len(os.listdir("/proc/self/fd"))
        for _ in range(10):
            await sandbox.start()
            scratch = (await sandbox.run(code)).value.strip("'")
            assert (tier == "namespaces") != Path(scratch).exists()
            new = set(below(os.getpid())) - processes
            assert len(new) == 2
            started = time.monotonic()
            await sandbox.close()
            seconds.append(time.monotonic() - started)
            assert not [process for process in new if exists(process)]
            assert not Path(scratch).exists()
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) == descriptors
        assert memory_mounts() == mounts
        return seconds

    assert min(asyncio.run(body())) < 0.05


HOST = """
import asyncio, os, sys, time
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

async def main():
    launcher = JailLauncher(JailConfig(tier=sys.argv[1], python=sys.argv[2]))
    sandboxes = [WorkerSandbox(launcher, CellLimits(), {}) for _ in range(3)]
    for sandbox in sandboxes:
        await sandbox.start()
    if sys.argv[3] == "forks" and os.fork() == 0:
        os.write(1, b"%d\\n" % os.getpid())
        time.sleep(20)
        os._exit(0)
    os.write(1, sandboxes[0]._running.worker.scratch.encode() + b"\\n")
    await asyncio.gather(*[sandbox.run("while True: pass") for sandbox in sandboxes[:2]])

asyncio.run(main())
"""


@pytest.mark.parametrize("forks", ["forks", "alone"])
def test_all_is_gone_a_second_after_the_host_was_killed(tier: str, python: str, forks: str) -> None:
    """Also when a fork of the host lives on, which holds every descriptor that the host had."""
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, tier, python, forks], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    lines = [host.stdout.readline().strip() for _ in range(2 if forks == "forks" else 1)]
    fork = {int(line) for line in lines if line.isdigit()}
    (scratch,) = (line for line in lines if not line.isdigit())
    time.sleep(0.2)
    processes = set(below(host.pid)) - fork
    assert len(processes) == 7
    host.kill()
    host.wait()
    assert within_a_second(lambda: not any(map(exists, processes)))
    assert tier == "namespaces" or not Path(scratch).exists()
    assert all(map(exists, fork))
    for process in fork:
        os.kill(process, signal.SIGKILL)
    host.stdout.close()


def test_sessions_end_with_the_process_they_were_forked_from_and_the_next_gets_a_new_one(
    launcher: JailLauncher,
) -> None:
    async def body() -> None:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        before = set(below(os.getpid()))
        await sandbox.start()
        new = {process: parent for process, parent in below(os.getpid()).items() if process not in before}
        supervisor = min(new, key=lambda process: new[process] in new)
        zygote = new[supervisor] if new[supervisor] != os.getpid() else supervisor
        os.kill(zygote, signal.SIGKILL)
        assert within_a_second(lambda: not any(map(exists, new)))
        assert (await sandbox.run("1")).status == "died"
        await sandbox.start()
        assert (await sandbox.run("1 + 1")).value == "2"
        await sandbox.close()

    asyncio.run(body())


def test_a_start_that_is_cancelled_leaves_nothing(launcher: JailLauncher) -> None:
    async def body() -> None:
        warm = WorkerSandbox(launcher, LIMITS, {})
        await warm.start()
        await warm.close()
        before = set(below(os.getpid()))
        for delay in (0, 0.001, 0.002, 0.004, 0.008, 0.016):
            sandbox = WorkerSandbox(launcher, LIMITS, {})
            start = asyncio.create_task(sandbox.start())
            await asyncio.sleep(delay)
            start.cancel()
            await asyncio.wait([start])
            await sandbox.close()
            assert within_a_second(lambda: set(below(os.getpid())) <= before)

    asyncio.run(body())


def test_threads_and_loops_share_one_zygote(launcher: JailLauncher) -> None:
    async def body() -> str:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        await sandbox.start()
        value = (await sandbox.run("6 * 7")).value
        await sandbox.close()
        return value

    values: list[str] = []
    asyncio.run(body())
    before = zygotes()
    threads = [threading.Thread(target=lambda: values.append(asyncio.run(body()))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == ["42"] * 6
    assert zygotes() == before


def test_sessions_see_nothing_of_each_other(launcher: JailLauncher) -> None:
    async def body() -> None:
        first, second = (WorkerSandbox(launcher, LIMITS, {}) for _ in range(2))
        await first.start()
        scratch = (await first.run("open('mine', 'w').write('secret')\nimport os; os.getcwd()")).value
        await second.start()
        assert "Error" in (await second.run(f"open({scratch} + '/mine').read()")).error
        assert (await second.run("import random; random.random()")).value != (
            await first.run("import random; random.random()")
        ).value
        await first.close()
        await second.close()

    asyncio.run(body())
