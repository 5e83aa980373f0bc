"""What a backend is: something that starts workers."""

from __future__ import annotations

import functools
import importlib.util
import signal
from pathlib import Path
from typing import Protocol

from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.leftovers import in_thread
from palaestra.sandbox.streams import Streams

WORKER = Path(__file__).with_name("worker")
"""The folder with the worker: `python -I <folder> <descriptors of channel and answers>` runs it, by any
Python 3.11 or newer, with the standard library and nothing else."""


@functools.cache
def cloudpickle_folder() -> Path:
    """The folder of the package `cloudpickle`, which a worker needs for snapshots. Plain Python files."""
    found = importlib.util.find_spec("cloudpickle")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


class Worker(Protocol):
    """A worker process that runs, and what the host holds for it.

    Whoever gets a worker owns its streams, and closes them when it kills the worker.
    """

    @property
    def streams(self) -> Streams:
        """The host's side."""
        ...

    @property
    def scratch(self) -> str:
        """The session's own writable folder, by the path that the worker sees; its working directory."""
        ...

    @property
    def cloudpickle(self) -> str:
        """A copy of `cloudpickle_folder()`, by the path that the worker sees."""
        ...

    def pause(self) -> None:
        """Let every process of the session stand still, until `resume`. Waits for nothing, as does that."""
        ...

    def resume(self) -> None: ...

    async def fate(self) -> str:
        """How the worker ended after it closed its channel, as the end of "the process …"."""
        ...

    def kill(self) -> None:
        """Have every process of the session end, whatever comes later. Waits for nothing; called once."""
        ...

    def clean_up(self) -> None:
        """Wait for that end, in any thread. When it returns nothing is left: no process, mount or folder.

        Called once, after `kill`.

        Raises:
            SandboxError: something stays.
        """
        ...


class Launcher(Protocol):
    """Starts workers that keep within limits: many at once, and in one event loop after another."""

    async def launch(self, limits: CellLimits) -> Worker:
        """
        Raises:
            SandboxUnavailable: this machine cannot give what the backend promises, or is out of something;
                the message says the way out. No code has run.
        """
        ...


def discard(worker: Worker) -> None:
    """End a worker that nobody wants."""
    worker.kill()
    in_thread(worker.clean_up)
    for stream in worker.streams:
        stream.close()


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; real-time signals have numbers only."""
    return {each.value: each.name for each in signal.Signals}.get(number, f"signal {number}")
