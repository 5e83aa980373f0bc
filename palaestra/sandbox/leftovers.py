"""Ending a process and everything that it started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

SECONDS = 2.0
"""After which stragglers are given up; only a race of forks lasts as long."""


def kill_group(leader: int) -> None:
    """SIGKILL to every process of the group that `leader` leads; it must not have been waited for yet."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def kill_stragglers(mark: str) -> None:
    """SIGKILL to every process that was started with `mark` in its environment, until none is left.

    A process can leave its group (setsid), but keeps the environment that it inherited unless it executes
    another program with another one. Finds nothing on systems without /proc.
    """
    deadline = time.monotonic() + SECONDS
    while (found := list(_carriers(mark.encode()))) and time.monotonic() < deadline:
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.001)


def _carriers(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile, or is none of ours
            if mark in (folder / "environ").read_bytes():
                yield int(folder.name)
