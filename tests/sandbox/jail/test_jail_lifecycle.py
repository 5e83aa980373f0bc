"""Where sessions begin and end, seen from outside."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher, new_zygote
from palaestra.sandbox.jail.probe import probe
from palaestra.sandbox.jail.zygote import CannotIsolate
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.watch import HANG_SECONDS, eventually
from tests.sandbox.descriptors import descriptors

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


def test_closing_leaves_nothing(launcher: JailLauncher, tier: str) -> None:
    """No process, mount, folder or descriptor."""
    code = """
import os, threading, time
threading.Thread(target=time.sleep, args=(9,)).start()
os.getcwd()
"""

    async def body() -> None:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        await sandbox.start()
        await sandbox.close()
        await asyncio.sleep(0.05)
        mounts = memory_mounts()
        processes, opened = set(below(os.getpid())), descriptors()
        for _ in range(10):
            await sandbox.start()
            scratch = (await sandbox.run(code)).value.strip("'")
            assert (tier == "namespaces") != Path(scratch).exists()
            new = set(below(os.getpid())) - processes
            assert len(new) == 2
            await sandbox.close()
            assert not [process for process in new if exists(process)]
            assert not Path(scratch).exists()
        await asyncio.sleep(0.05)
        assert not descriptors() - opened
        assert memory_mounts() == mounts

    asyncio.run(body())


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
        time.sleep(999)
        os._exit(0)
    os.write(1, sandboxes[0]._running.worker.scratch.encode() + b"\\n")
    await asyncio.gather(*[sandbox.run("while True: pass") for sandbox in sandboxes[:2]])

asyncio.run(main())
"""


@pytest.mark.parametrize("forks", ["forks", "alone"])
def test_all_is_gone_when_the_host_was_killed(tier: str, python: str, forks: str) -> None:
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
    assert eventually(lambda: not any(map(exists, processes)))
    assert tier == "namespaces" or not Path(scratch).exists()
    assert all(map(exists, fork))
    for process in fork:
        os.kill(process, signal.SIGKILL)
    host.stdout.close()


def test_scratch_folders_that_nobody_was_left_to_remove_go_when_the_next_host_starts(python: str) -> None:
    """Those of owners that live stay."""
    command = [sys.executable, "-c", HOST, "landlock", python, "alone"]
    here = os.environ | {"TMPDIR": tempfile.gettempdir()}
    host, other = (subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) for _ in range(2))
    assert host.stdout is not None
    assert other.stdout is not None
    left, used = Path(host.stdout.readline().strip()), Path(other.stdout.readline().strip())
    processes = [host.pid, *below(host.pid)]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # so that none sees another one die
        for process in processes:
            os.kill(process, number)
    host.wait()
    assert left.exists()
    probe(JailConfig(python=python))
    assert not left.exists()
    assert used.exists()
    other.kill()
    other.wait()
    assert eventually(lambda: not used.exists())
    host.stdout.close()
    other.stdout.close()


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
        assert eventually(lambda: not any(map(exists, new)))
        assert (await sandbox.run("1")).status == "died"
        await sandbox.start()
        assert (await sandbox.run("1 + 1")).value == "2"
        await sandbox.close()

    asyncio.run(body())


def test_a_trial_that_fails_leaves_what_other_trials_need(tier: str, python: str) -> None:
    opened, before = descriptors(), set(below(os.getpid()))
    with closing(new_zygote(JailConfig(tier=tier, python=python), tier)) as zygote:
        zygote.start()
        (process,) = set(below(os.getpid())) - before
        soft, hard = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (3, hard))  # it has as many; no session can be had
        with pytest.raises(CannotIsolate, match="ended without a word"):
            zygote.try_out()
        resource.prlimit(process, resource.RLIMIT_NOFILE, (soft, hard))
        zygote.try_out()
        assert exists(process)
    assert not descriptors() - opened


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
            assert eventually(lambda: set(below(os.getpid())) <= before)

    asyncio.run(body())


def test_a_supervisor_that_does_not_end_is_killed_while_the_host_goes_on(launcher: JailLauncher) -> None:
    """When a session is closed, and when the operation under way is cancelled."""

    async def body() -> None:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        await sandbox.start()
        await sandbox.close()
        before = set(below(os.getpid()))
        for end in ("close", "cancel"):
            await sandbox.start()
            new = {process: parent for process, parent in below(os.getpid()).items() if process not in before}
            (supervisor,) = (process for process in new if new[process] not in new)
            os.kill(supervisor, signal.SIGSTOP)
            busy = asyncio.create_task(sandbox.close() if end == "close" else sandbox.run("while True: pass"))
            await asyncio.sleep(0.05)
            if end == "cancel":
                busy.cancel()
            turns = 0
            async with asyncio.timeout(HANG_SECONDS):
                while not busy.done() or any(map(exists, new)):
                    await asyncio.sleep(0)
                    turns += 1
            assert turns > 10
        await sandbox.close()

    asyncio.run(body())


def test_a_session_that_is_closed_while_it_is_busy_says_so(launcher: JailLauncher) -> None:
    async def body() -> None:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        for code in ("while True: pass", "import os; os._exit(1)", "1"):
            for delay in (0, 0.001, 0.002, 0.005, 0.01):
                await sandbox.start()
                busy = asyncio.create_task(sandbox.run(code))
                await asyncio.sleep(delay)
                await sandbox.close()
                (outcome,) = await asyncio.gather(busy, return_exceptions=True)
                if isinstance(outcome, BaseException):
                    assert isinstance(outcome, SandboxError)
                    assert "was closed" in str(outcome) or "not running" in str(outcome)

    asyncio.run(body())


def test_what_the_host_does_with_signals_is_not_inherited(tier: str, python: str) -> None:
    """A zygote could not learn of the end of its children, nor a cell be interrupted."""
    deaf = (
        "import asyncio, signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1])\n"
    )
    asking = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [])"
    host = (
        HOST.replace("while True: pass", asking)
        .replace("await asyncio.gather(", "print(await asyncio.gather(")
        .replace("sandboxes[:2]])", "sandboxes[:2]]))")
    )
    done = subprocess.run(
        [sys.executable, "-c", deaf + host, tier, python, "alone"],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.stdout.count("value='set()'") == 2, done


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
def test_a_supervisor_keeps_the_rights_that_it_needs_and_no_others(launcher: JailLauncher, tier: str) -> None:
    async def body() -> None:
        sandbox = WorkerSandbox(launcher, LIMITS, {})
        before = set(below(os.getpid())) - zygotes()
        await sandbox.start()
        new = {p: parent for p, parent in below(os.getpid()).items() if p not in before | zygotes()}
        (supervisor,) = (process for process in new if new[process] not in new)
        lines = Path(f"/proc/{supervisor}/status").read_text().splitlines()
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        needed = {"namespaces": 0, "landlock": 1 << 1 | 1 << 5}[tier]
        assert [int(status[f"Cap{kind}"], 16) for kind in ("Prm", "Eff", "Bnd", "Amb")] == [
            needed,
            needed,
            0,
            0,
        ]
        assert status["NoNewPrivs"] == "1"
        await sandbox.close()

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
