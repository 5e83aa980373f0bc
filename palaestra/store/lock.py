"""One process at a time writes a run."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from palaestra.core.errors import StoreError

_WITHIN_A_MOMENT = Retrying(
    retry=retry_if_exception_type(BlockingIOError),
    stop=stop_after_delay(0.5),
    wait=wait_fixed(0.05),
    reraise=True,
)
"""Long enough to outwait `is_held`, which takes the lock for an instant."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Be the one process that writes the run. The lock ends with the process, however it ends.

    Raises:
        StoreError: another process holds it.
    """
    with (folder / "lock").open("a") as file:
        try:
            _WITHIN_A_MOMENT(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(
                f"{folder} is being written by another process; wait for it or press Ctrl-C there"
            ) from error
        yield


def is_held(folder: Path) -> bool:
    """Whether a process writes the run now."""
    file = folder / "lock"
    if not file.exists():
        return False
    with file.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
