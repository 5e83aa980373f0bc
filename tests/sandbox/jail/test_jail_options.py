"""What the settings of the jail give."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.watch import HANG_SECONDS, processes


def run_in(config: JailConfig, test: Callable[[WorkerSandbox], Awaitable[None]], limits: CellLimits) -> None:
    async def body() -> None:
        sandbox = WorkerSandbox(JailLauncher(config), limits, {})
        await sandbox.start()
        try:
            await test(sandbox)
        finally:
            await sandbox.close()

    asyncio.run(body())


def test_installed_packages_can_be_imported_when_they_are_wanted() -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run("import numpy\nint((numpy.eye(300) @ numpy.eye(300)).sum())")
        assert (result.value, result.error) == ("300", "")
        assert "Error" in (await sandbox.run("open(numpy.__file__, 'a')")).error

    run_in(JailConfig(site_packages=True), test, CellLimits())


def test_processes_can_be_allowed_and_stay_bounded_and_locked_up() -> None:
    code = """
import os, subprocess, sys
shell = subprocess.run(['/bin/sh', '-c', 'echo $$'], capture_output=True, text=True)
code = 'import socket; socket.socket()'
python = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
shell.stdout.strip().isdigit(), python.stderr.splitlines()[-1]
"""
    bomb = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError:
    pass
count
"""

    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(code)
        assert result.value == "(True, 'PermissionError: [Errno 1] Operation not permitted')", result
        count = int((await sandbox.run(bomb)).value)
        assert 10 < count < 32
        for call in ("unshare(0x10000000)", "unshare(0x00020000)"):
            assert (await sandbox.run(f"import ctypes; ctypes.CDLL(None).{call}")).value == "-1"

    run_in(JailConfig(processes=True), test, CellLimits(processes=32))


def test_processes_need_the_tier_that_can_bound_them(python: str) -> None:
    launcher = JailLauncher(JailConfig(tier="landlock", processes=True, python=python))
    with pytest.raises(SandboxUnavailable, match="cannot bound processes"):
        asyncio.run(launcher.launch(CellLimits()))


def test_an_interpreter_that_is_not_there_is_told(tier: Literal["namespaces", "landlock"]) -> None:
    launcher = JailLauncher(JailConfig(tier=tier, python="/nowhere/python3"))
    with pytest.raises(SandboxUnavailable, match="/nowhere/python3"):
        asyncio.run(launcher.launch(CellLimits()))


def test_orphans_without_end_do_not_keep_the_session_from_standing_still_and_ending() -> None:
    storm = """
import os
for _ in range(4):
    if os.fork() == 0:
        while True:
            try:
                if os.fork() == 0:
                    if os.fork():
                        os._exit(0)
                    os._exit(0)
                os.waitpid(-1, os.WNOHANG)
            except OSError:
                pass
"""
    sister = """
import ctypes, os, signal
CLONE_PARENT = 0x8000
number = 56 if os.uname().machine == 'x86_64' else 220
ctypes.CDLL(None).syscall(number, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
"""

    async def test(sandbox: WorkerSandbox) -> None:
        assert (await sandbox.run(sister)).value == "-1"
        stopped = sum(process.state == "T" for process in processes().values())
        assert (await sandbox.run(storm)).status == "ok"
        async with asyncio.timeout(HANG_SECONDS):
            while sum(process.state == "T" for process in processes().values()) < stopped + 1 + 4:
                await asyncio.sleep(0.05)
            await sandbox.close()

    run_in(JailConfig(processes=True), test, CellLimits(processes=64))


def test_no_process_of_a_session_can_wake_another_up() -> None:
    attempts = """
import ctypes, os, signal
libc = ctypes.CDLL(None)
clone = 56 if os.uname().machine == 'x86_64' else 220
def fails(attempt):
    try:
        return attempt() == -1
    except OSError:
        return True
[fails(attempt) for attempt in (
    lambda: os.kill(-1, signal.SIGCONT),
    lambda: os.kill(0, signal.SIGCONT),
    lambda: libc.tgkill(os.getpid(), os.getpid(), signal.SIGCONT),
    lambda: libc.syscall(clone, int(signal.SIGCONT), 0, 0, 0, 0),  # when a child ends
    lambda: os.setpgid(0, 0),  # when it leaves a group behind
)]
"""

    async def test(sandbox: WorkerSandbox) -> None:
        assert (await sandbox.run(attempts)).value == str([True] * 5)
        assert (await sandbox.run("os.kill(os.getpid(), signal.SIGURG)")).status == "ok"

    run_in(JailConfig(processes=True), test, CellLimits())
