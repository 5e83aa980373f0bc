"""What a tier is."""

from __future__ import annotations

import json
import os
import signal
from typing import NamedTuple


class Settings(NamedTuple):
    """Of all sessions of one zygote."""

    folders: tuple[str, ...]
    """With the packages that cells may import, beside the standard library."""
    cloudpickle: str
    """The folder of that package."""
    processes: bool
    """Whether cells may start processes."""
    scratches: str = ""
    """Begins the path of a scratch folder, where it is a real one."""


class Limits(NamedTuple):
    """Of one session."""

    memory: int
    """Bytes of address space of a process."""
    processes: int
    """Processes and threads."""
    disk: int
    """Bytes in the scratch folder."""


PAUSE, RESUME = b"p", b"r"
"""What the host may say to the first process of a session."""
INODES = 4096
"""Files and folders in the scratch folder."""


def obey(host: int, worker: int) -> bool:
    """Take one word of the host: have all of the session but this process stop or go on. False at its end.

    Nobody can resist: this process is the first of its namespace, or the worker is alone, and no worker may
    send the signal to go on.
    """
    try:
        word = os.read(host, 1)
    except ConnectionError:
        return False
    if word:
        os.kill(-1 if os.getpid() == 1 else worker, {PAUSE: signal.SIGSTOP, RESUME: signal.SIGCONT}[word])
    return bool(word)


def told(error: Exception) -> bytes:
    """What the host is told of a failure."""
    return json.dumps({"error": str(error), "errno": getattr(error, "errno", None)}).encode()


class Tier:
    """A way of isolating: what each of the processes on the way to a worker does for it.

    The zygote calls `enter` once and `fork` for each session. The child, the session's supervisor, calls
    `furnish`. Its child calls `confine` and becomes the worker.
    """

    seconds_between_watches: float | None = None
    """None where the kernel itself holds all limits."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.cloudpickle = settings.cloudpickle
        """The folder of that package as workers see it."""

    def enter(self) -> None:
        """Do what serves all sessions."""

    def fork(self) -> int:
        raise NotImplementedError

    def furnish(self, limits: Limits) -> str:
        """Make the session's scratch folder; its path, as the worker sees it."""
        raise NotImplementedError

    def confine(self, limits: Limits, scratch: str) -> None:
        """Lock the calling process, for good."""
        raise NotImplementedError

    def give_up_rights(self) -> None:
        """Keep what the supervisor needs from now on, the worker being locked up."""

    def excess(self, worker: int, limits: Limits) -> str:
        """Which limit the worker has gone beyond; empty when none."""
        return ""

    def clean_up(self) -> None:
        """Remove what outlives the session's processes."""
