"""The first process of a container, which the host trusts: it starts the worker and ends with the host.

Runs in the container by the image's Python, with the standard library and the files that the image holds of
Palaestra. It keeps one connection to the host. Over it the host sends `Settings` with four descriptors
(channel, answers, stdout, stderr), and is told what came of it, and at last the worker's wait status and
whether memory ran out. When the connection closes, this process ends, and the kernel kills every other one
of the container.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from palaestra.sandbox.jail.kernel import credentials, landlock, resources, seccomp
from palaestra.sandbox.jail.kernel.tier import obey
from palaestra.sandbox.worker import repl

SOCKET = "/run/palaestra.sock"
"""Where the host's socket is in the container."""
SCRATCH = "/scratch"
HOME = "/opt/palaestra"
"""The files of Palaestra in the image."""
CLOUDPICKLE = f"{HOME}/cloudpickle"
MESSAGE = 1 << 12
STARTED, NETWORK = b"s", b"n"
"""First word to the host: the worker runs; or a network can be reached, and nothing was run."""
HIDDEN = {"proc", "sys", "dev", "run"}
"""Folders of the root that tell of the container and the machine, and that no cell needs."""
DEVICES = ("null", "zero", "random", "urandom")
OUTSIDE = ("192.0.2.1", 9)
"""An address that belongs to nobody (RFC 5737)."""


def main() -> None:
    control = socket.socket(socket.AF_UNIX)
    control.connect(SOCKET)
    settings, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 4)
    if reaches_a_network():
        control.sendall(NETWORK)
        return
    resources.make_threads_small()
    worker = os.fork()
    if worker == 0:
        control.close()
        _work(*descriptors, **json.loads(settings))
    for descriptor in descriptors:
        os.close(descriptor)
    credentials.set_dumpable(
        False
    )  # its memory and /proc entries are closed to the worker, which has its user
    threading.Thread(target=_obey, args=(control, worker), daemon=True).start()
    control.sendall(STARTED)
    while True:
        ended, status = os.wait()  # of orphans too
        if ended == worker:
            control.sendall(f"{status} {_memory_ran_out():d}".encode())
            os._exit(0)


def reaches_a_network() -> bool:
    """Whether there is a route to the outside. Connecting a datagram socket sends nothing."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(OUTSIDE)
    except OSError:
        return False
    return True


def _work(channel: int, answers: int, stdout: int, stderr: int, *, processes: bool) -> None:
    """Lock this process up and serve cells in it."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for place, descriptor in ((1, stdout), (2, stderr)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    Path("/proc/self/oom_score_adj").write_text(
        "1000"
    )  # when memory runs out, it ends and not the supervisor
    credentials.set_dumpable(False)
    os.chdir(SCRATCH)
    sys.path.remove(HOME)
    for name in [name for name in sys.modules if name.partition(".")[0] == "palaestra"]:
        if not name.startswith("palaestra.sandbox.worker."):
            del sys.modules[name]
    _confine(processes)
    repl.serve(channel, answers)


def _confine(processes: bool) -> None:
    """So that a hole in the container's wall is not enough. gVisor and old kernels lack Landlock."""
    credentials.no_new_privileges()
    if landlock.exists():
        read = landlock.READ | (landlock.EXECUTE if processes else 0)
        folders = [f"/{name}" for name in os.listdir("/") if name not in HIDDEN]
        devices = [f"/dev/{name}" for name in DEVICES]
        landlock.restrict(
            [
                *((folder, read) for folder in folders),
                *((device, landlock.ONLY_FILES) for device in devices),
                (SCRATCH, landlock.USE),
            ]
        )
    seccomp.install(seccomp.program(os.getpid(), own_world=True, processes=processes))


def _obey(control: socket.socket, worker: int) -> None:
    """Until the host closes the connection, or ends."""
    try:
        while obey(control.fileno(), worker):
            pass
    finally:
        os._exit(1)


def _memory_ran_out() -> bool:
    """Whether the kernel killed a process of this container for want of memory; cgroups v2, then v1."""
    for place in ("memory.events", "memory/memory.oom_control"):
        file = Path("/sys/fs/cgroup", place)
        if file.exists():
            counts = dict(line.split() for line in file.read_text().splitlines())
            return counts.get("oom_kill", "0") != "0"
    return False
