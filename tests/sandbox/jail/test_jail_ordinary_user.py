"""Sessions of a host that is not root. Cells of the tier `landlock` then have the user of the host."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.watch import HANG_SECONDS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

HOST = """
import asyncio, os, subprocess, sys
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

def seen(process):
    return os.stat("mine"), os.sched_getaffinity(process), os.getpriority(os.PRIO_PROCESS, process)

async def main(tier, code):
    sandbox = WorkerSandbox(JailLauncher(JailConfig(tier=tier)), CellLimits(), {})
    await sandbox.start()
    bystander = subprocess.Popen(["sleep", "30"])
    with open("mine", "w") as file:
        file.write("untouched")
    before = seen(bystander.pid)
    result = await sandbox.run(f"FILE, PROCESS = {os.path.abspath('mine')!r}, {bystander.pid}\\n{code}")
    print(result.value or result.error, before == seen(bystander.pid), bystander.poll(), open("mine").read())
    bystander.kill()
    os.unlink("mine")
    await sandbox.close()

asyncio.run(main(*sys.argv[1:]))
"""

ATTEMPTS = """
import os, resource, signal
attempts = [
    lambda: open(FILE).read(),
    lambda: os.chmod(FILE, 0o777),
    lambda: os.utime(FILE, (0, 0)),
    lambda: os.truncate(FILE, 0),
    lambda: os.setxattr(FILE, 'user.x', b'x'),
    lambda: os.unlink(FILE),
    lambda: os.rename(FILE, 'taken'),
    lambda: os.link(FILE, 'linked'),
    lambda: open(f'/proc/self/fd/{os.open(FILE, os.O_PATH)}').read(),
    lambda: os.kill(PROCESS, signal.SIGTERM),
    lambda: signal.pidfd_send_signal(os.pidfd_open(PROCESS), signal.SIGTERM),
    lambda: os.sched_setaffinity(PROCESS, {0}),
    lambda: os.setpriority(os.PRIO_PROCESS, PROCESS, 9),
    lambda: resource.prlimit(PROCESS, resource.RLIMIT_CPU, (1, 1)),
    lambda: open(f'/proc/{PROCESS}/environ').read(),
]
def fails(attempt):
    try:
        attempt()
    except OSError:
        return True
[number for number, attempt in enumerate(attempts) if not fails(attempt)]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    made.rmdir()  # nothing is left in it


def said_by_host(folder: Path, *arguments: str) -> str:
    packages = [path for path in sys.path if path.endswith("site-packages")]
    become = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run(
        [*become, "/usr/bin/python3", "-B", "-c", HOST, *arguments],
        env={
            "PYTHONPATH": ":".join([str(Path(__file__).parents[3]), *packages]),
            "TMPDIR": str(folder),
            "PATH": "/usr/bin",
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_session_needs_no_rights(tier: str, folder: Path) -> None:
    assert said_by_host(folder, tier, "6 * 7") == "42 True None untouched"


def test_files_and_processes_of_the_user_are_out_of_reach(tier: str, folder: Path) -> None:
    assert said_by_host(folder, tier, ATTEMPTS) == "[] True None untouched"


def test_threads_are_bounded(tier: str, folder: Path) -> None:
    bomb = """
import threading, time
started = 0
try:
    while started < 200:
        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
        started += 1
except RuntimeError: pass
time.sleep(0.5)
started < 64"""
    said = said_by_host(folder, tier, bomb)
    assert said.startswith("True " if tier == "namespaces" else "the process was killed: ")
