"""Ending processes and everything that they started, to the end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

SECONDS = 2.0
"""After which stragglers are given up; only a race of forks lasts as long."""


def in_thread(work: Callable[[], None]) -> Future[None]:
    """Have done what takes a while and must be done, whatever is cancelled. The interpreter ends after it."""
    executor = ThreadPoolExecutor(1)
    try:
        return executor.submit(work)
    except RuntimeError:  # no thread can be started, now or any more
        done: Future[None] = Future()
        work()
        done.set_result(None)
        return done
    finally:
        executor.shutdown(wait=False)


def kill_all(leader: int, mark: str) -> None:
    """SIGKILL to a process group and to all that was started with `mark` in its environment, until all ended.

    `leader` must not have been waited for yet. A process can leave the group (setsid), but keeps the
    environment that it inherited, unless it executes another program with another one. On systems without
    /proc the group alone is killed.
    """
    deadline = time.monotonic() + SECONDS
    dying = _carriers(mark.encode())
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
    while time.monotonic() < deadline:
        found = _carriers(mark.encode())
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        dying = {process for process in dying | found if _is_running(process)}
        if not dying:
            return
        time.sleep(0.001)


def _carriers(mark: bytes) -> set[int]:
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is none of ours
            if mark in (folder / "environ").read_bytes():
                found.add(int(folder.name))
    return found


def _is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] not in b"ZX"
    except OSError:
        return False
