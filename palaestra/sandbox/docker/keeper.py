"""A process that cleans up when its host was killed while it started a container.

A container that runs ends with its host by itself. One that was made and is not started yet does not, nor
does the folder with the socket at which the host waits for it.
"""

from __future__ import annotations

import functools
import os
import select
import subprocess
import sys
import tempfile
import time

from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.leftovers import sweep

ENGINE_SECONDS = 0.5
"""Elapsed time within which the engine has done what the host had asked for when it was killed."""


@functools.cache
def start_keeper(host: int) -> subprocess.Popen[bytes]:
    """For this process, whose number is `host`; once, however many launchers it has."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(host)],
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": tempfile.gettempdir()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def keep(host: int) -> None:
    """Wait for the end of the parent, which is `host` unless it has ended already, and clean up."""
    if os.getppid() == host:
        select.select([os.pidfd_open(host)], [], [])
    engine = connect()
    sweep(engine)
    time.sleep(ENGINE_SECONDS)
    sweep(engine)


if __name__ == "__main__":
    keep(int(sys.argv[1]))
