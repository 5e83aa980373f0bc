"""Machines that lack something, played by a filter that makes it fail for a host process."""

import subprocess
import sys

import pytest

from tests.attacks.watch import HANG_SECONDS

HOST = """
import asyncio, errno, logging, os, signal, struct, sys
from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.kernel import credentials, namespaces, seccomp
from palaestra.sandbox.jail.kernel.system_calls import number
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox

def lack(name):
    call, argument, code = {
        "namespaces": ("unshare", None, errno.EPERM),
        "landlock": ("landlock_create_ruleset", None, errno.EPERM),
        "seccomp": ("prctl", 22, errno.EPERM),
        "scratch": ("mount", None, errno.EPERM),
        "truth about landlock": ("landlock_restrict_self", None, 0),
        "room for processes": ("clone", namespaces.OWN | signal.SIGCHLD, errno.EAGAIN),
    }[name]
    refuse = (0x06, 0, 0, 0x00050000 | code)
    allow = (0x06, 0, 0, 0x7FFF0000)
    test = [refuse] if argument is None else [(0x20, 0, 0, 16), (0x15, 0, 1, argument), refuse, allow]
    code = [(0x20, 0, 0, 0), (0x15, 0, len(test), number(call)), *test, allow]
    credentials.no_new_privileges()
    seccomp.install(b"".join(struct.pack("=HBBI", *step) for step in code))

async def attempt(launcher, limits=CellLimits()):
    sandbox = WorkerSandbox(launcher, limits, {})
    try:
        await sandbox.start()
        print((await sandbox.run("'code ran'")).value, sandbox._running.worker.tier)
        await sandbox.close()
    except SandboxUnavailable as error:
        print(error)

logging.basicConfig(level=logging.INFO)
launcher = JailLauncher(JailConfig(tier=sys.argv[1], python=sys.argv[2]))
if sys.argv[3] == "later":
    asyncio.run(attempt(launcher))
    zygotes = [int(name) for name in open(f"/proc/self/task/{os.getpid()}/children").read().split()]
    for zygote in zygotes:
        os.kill(zygote, signal.SIGKILL)
    os.waitid(os.P_PID, zygotes[0], os.WEXITED | os.WNOWAIT)
for name in sys.argv[4:]:
    lack(name)
if sys.argv[3] == "after one that asks for too much":
    asyncio.run(attempt(launcher, CellLimits(disk_mb=1 << 43)))
asyncio.run(attempt(launcher))
"""


def said(python: str, tier: str, when: str, *lacking: str) -> list[str]:
    return run_host(python, tier, when, *lacking).stdout.splitlines()


def run_host(python: str, tier: str, when: str, *lacking: str) -> subprocess.CompletedProcess[str]:
    host = subprocess.run(
        [sys.executable, "-c", HOST, tier, python, when, *lacking],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert host.returncode == 0, host.stderr
    return host


@pytest.mark.parametrize(
    ("tier", "lacking", "reasons"),
    [
        (
            "auto",
            ["namespaces", "landlock"],
            ["tier namespaces: ", "unshare", "tier landlock: ", "landlock_create"],
        ),
        ("auto", ["seccomp"], ["tier namespaces: ", "prctl", "tier landlock: ", "prctl"]),
        ("namespaces", ["scratch"], ["mount"]),
        ("namespaces", ["namespaces"], ["unshare"]),
        ("landlock", ["landlock"], ["landlock_create_ruleset"]),
        ("landlock", ["truth about landlock"], ["could read a file"]),
    ],
)
def test_without_isolation_nothing_runs_and_the_way_out_is_told(
    python: str, tier: str, lacking: list[str], reasons: list[str]
) -> None:
    (line,) = said(python, tier, "now", *lacking)
    assert line.startswith("no session can be isolated: ")
    for reason in [*reasons, "docker"]:
        assert reason in line


def test_where_one_tier_is_missing_the_other_serves(python: str) -> None:
    assert said(python, "auto", "now", "namespaces") == ["'code ran' landlock"]
    assert said(python, "auto", "now", "landlock") == ["'code ran' namespaces"]


def test_a_machine_that_gives_less_later_gets_no_weaker_sessions(python: str) -> None:
    first, second = said(python, "auto", "later", "namespaces")
    assert first == "'code ran' namespaces"
    assert second.startswith("no session can be isolated: ")


def test_limits_that_cannot_be_set_do_not_lead_to_a_weaker_tier(python: str) -> None:
    first, second = said(python, "auto", "after one that asks for too much")
    assert first.startswith("no session can be isolated: the worker ended before it was locked up")
    assert second == "'code ran' namespaces"


def test_the_reason_for_the_weaker_tier_is_told_though_the_first_session_asks_for_too_much(
    python: str,
) -> None:
    host = run_host(python, "auto", "after one that asks for too much", "namespaces")
    assert host.stdout.splitlines()[1] == "'code ran' landlock"
    (told,) = [line for line in host.stderr.splitlines() if "sandbox: tier" in line]
    assert "tier landlock of the jail (tier namespaces: " in told


def test_a_shortage_does_not_lead_to_a_weaker_tier(python: str) -> None:
    (line,) = said(python, "auto", "", "room for processes")
    assert line.startswith("no session can be started: Resource temporarily unavailable; ")
