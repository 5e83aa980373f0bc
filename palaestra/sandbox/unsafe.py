"""The plainest backend: a process of its own, bounded but not isolated."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from palaestra.core.errors import SandboxUnavailable
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.launcher import WORKER, cloudpickle_folder, signal_name
from palaestra.sandbox.leftovers import kill_all
from palaestra.sandbox.streams import Streams, connected

logger = logging.getLogger(__name__)


class UnsafeLauncher:
    """Starts workers as ordinary processes of the user.

    Bounded: elapsed time, address space and output of a cell; no core dumps; an environment that holds
    nothing of the host's; no inherited descriptors but its streams; a scratch folder of its own. When the
    worker is killed, all that it started is killed with it, and the scratch folder is removed.

    Not isolated: cells have the user's rights. They can read and write the user's files, use the network and
    send signals, and code that means to can start processes which outlive the session. Processes and disk
    are not bounded. Give it only models and prompts that you would let type on your own terminal.
    """

    def __init__(self) -> None:
        _warn_once()

    async def launch(self, limits: CellLimits) -> UnsafeWorker:
        if sys.platform == "win32":
            raise SandboxUnavailable("the sandbox backend 'unsafe' needs Linux or macOS: use WSL2")
        try:
            return _start()
        except OSError as error:
            raise SandboxUnavailable(
                f"the sandbox process does not start: {error.strerror}; free memory, processes or open files"
            ) from error


@dataclass(frozen=True)
class UnsafeWorker:
    streams: Streams
    process: subprocess.Popen[bytes]
    scratch: str

    @property
    def cloudpickle(self) -> str:
        return str(cloudpickle_folder())

    def pause(self) -> None:
        """Not here: a process that stands still does not notice that its host ended."""

    def resume(self) -> None: ...

    async def fate(self) -> str:
        # The process is not waited for: its number must stay its own until it is killed.
        for _ in range(50):
            ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            if ended is None:
                await asyncio.sleep(0.01)
            elif ended.si_code == os.CLD_EXITED:
                return f"ended itself with status {ended.si_status}"
            else:
                return f"was killed by {signal_name(ended.si_status)}"
        return "closed its channel"

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def clean_up(self) -> None:
        kill_all(self.process.pid, self.scratch)
        self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)


def _start() -> UnsafeWorker:
    with ExitStack() as theirs, ExitStack() as ours:
        scratch = tempfile.mkdtemp(prefix="palaestra-")
        ours.callback(os.rmdir, scratch)
        streams, its_streams = connected(ours, theirs)
        its_ends = (its_streams.channel.fileno(), its_streams.answers.fileno())
        process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", WORKER, *map(str, its_ends)],
            cwd=scratch,
            env={"HOME": scratch, "TMPDIR": scratch, "MALLOC_ARENA_MAX": "2"},
            stdin=subprocess.DEVNULL,
            stdout=its_streams.stdout,
            stderr=its_streams.stderr,
            pass_fds=its_ends,
            start_new_session=True,
        )
        ours.pop_all()
    return UnsafeWorker(streams, process, scratch)


@functools.cache
def _warn_once() -> None:
    logger.warning(
        "warning: the sandbox backend 'unsafe' does not isolate: code that a model writes runs "
        "with your rights and can reach your files and the network"
    )
