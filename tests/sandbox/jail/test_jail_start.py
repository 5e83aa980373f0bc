"""A session that does not get ready: its start ends, and so does what there is of it."""

import asyncio
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.jail.kernel.supervisor import Session, supervise
from palaestra.sandbox.jail.kernel.tier import Limits, Settings, Tier
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks.watch import descendants, eventually, is_running, processes
from tests.sandbox.clocked_loop import ClockedLoop, run_clocked
from tests.sandbox.descriptors import descriptors


def children() -> set[int]:
    return {process.pid for process in processes().values() if process.parent == os.getpid()}


def test_a_start_that_nothing_answers_ends_and_a_later_one_is_none_the_worse(launcher: JailLauncher) -> None:
    async def body(loop: ClockedLoop) -> None:
        sandbox = WorkerSandbox(launcher, CellLimits(), {})
        await sandbox.start()
        await sandbox.close()
        before, opened, forking = descendants(), descriptors(), children()
        for process in forking:
            os.kill(process, signal.SIGSTOP)
        try:
            start = asyncio.create_task(sandbox.start())
            for _ in range(60):
                await loop.advance(1)
            assert start.done()
            with pytest.raises(SandboxUnavailable, match="does not answer within 30 seconds; free memory"):
                await start
        finally:
            for process in forking:
                os.kill(process, signal.SIGCONT)
        assert not descriptors() - opened
        await sandbox.start()
        assert (await sandbox.run("6 * 7")).value == "42"
        await sandbox.close()
        assert eventually(lambda: descendants() <= before)

    run_clocked(body)


class Endless(Tier):
    """Never gets done with locking a worker up."""

    def furnish(self, limits: Limits) -> str:
        return self.settings.scratches

    def confine(self, limits: Limits, scratch: str) -> None:
        Path(scratch, "begun").touch()
        threading.Event().wait()


def test_a_worker_that_is_never_locked_up_ends_when_the_host_gives_up(tmp_path: Path) -> None:
    control, its_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with control, its_control:
        streams = channel, answers, stdout, stderr = [os.open(os.devnull, os.O_RDWR) for _ in range(4)]
        host = os.pidfd_open(os.getpid())
        limits = Limits(1 << 30, 8, 1 << 20)
        session = Session(limits, its_control.fileno(), channel, answers, stdout, stderr, host)
        tier = Endless(Settings((), "", processes=False, scratches=str(tmp_path)))
        supervisor = os.fork()
        if supervisor == 0:
            control.close()
            supervise(tier, session, lambda *_: None)
        for descriptor in (*streams, host):
            os.close(descriptor)
        assert eventually((tmp_path / "begun").exists)
        assert is_running(supervisor)
    assert eventually(lambda: os.waitpid(supervisor, os.WNOHANG)[0] == supervisor)
    assert not is_running(supervisor)
