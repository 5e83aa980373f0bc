"""What the host can see by itself: processes, namespaces, mounts, folders, listeners, a victim."""

from __future__ import annotations

import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
HANG_SECONDS = 60.0
"""After which something is taken to hang, however busy the machine is. No test judges by the time it took."""
SILENT_SIGNAL = signal.SIGURG
"""Ignored by whoever does not ask for it, so that a signal which goes astray harms nobody."""


class Process(NamedTuple):
    pid: int
    parent: int
    state: str
    name: str


def processes() -> dict[int, Process]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name, _, rest = (folder / "stat").read_text(errors="replace").partition("(")[2].rpartition(") ")
            state, parent = rest.split()[:2]
            found[int(folder.name)] = Process(int(folder.name), int(parent), state, name)
    return found


def descendants(ancestor: int | None = None) -> set[int]:
    """The living processes below this one, or below `ancestor`."""
    table = processes()
    below = {os.getpid() if ancestor is None else ancestor}
    while more := {process.pid for process in table.values() if process.parent in below} - below:
        below |= more
    return {pid for pid in below if pid in table and table[pid].state not in "ZX"} - {
        os.getpid() if ancestor is None else ancestor
    }


def is_running(pid: int) -> bool:
    return (process := processes().get(pid)) is not None and process.state not in "ZX"


def status(pid: int, field: str) -> str:
    """One field of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    (found,) = (line.partition(":")[2].strip() for line in lines if line.startswith(f"{field}:"))
    return found


def kibibytes(pid: int, field: str) -> int:
    return int(status(pid, field).split()[0])


def grown_since_now() -> Callable[[], int]:
    """Tells by how many KiB the memory of this process was at most above what it is now."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak back
    before = kibibytes(os.getpid(), "VmHWM")
    return lambda: kibibytes(os.getpid(), "VmHWM") - before


def namespaces(pid: int | str = "self") -> dict[str, str]:
    """Of the process and all of its threads; one that differs in a thread is told twice."""
    found: dict[str, set[str]] = {name: set() for name in NAMESPACES}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # the thread ended
            for name in NAMESPACES:
                found[name].add(os.readlink(thread / "ns" / name))
    return {name: " ".join(sorted(links)) for name, links in found.items()}


def descriptors(pid: int | str = "self") -> list[str]:
    """What the open descriptors of a process are, numbers of pipes and sockets left out."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(entry).partition(":[")[0])
    return sorted(found)


def mounts(pid: int | str = "self") -> set[str]:
    return set(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def containers(owner: int) -> set[str]:
    """Those that sessions of this process were given, running or not."""
    label = f"label=palaestra.owner={owner}"
    listed = subprocess.run(
        ["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True
    )
    return set(listed.stdout.split())


def control_groups() -> set[str]:
    return {folder for folder, _, _ in os.walk("/sys/fs/cgroup")}


def eventually(condition: Callable[[], bool], seconds: float = HANG_SECONDS) -> bool:
    """Whether it becomes true, which it may take a busy machine a while to do."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder which anybody may enter and write to, so that nothing but the sandbox protects it."""
    folder = Path(tempfile.mkdtemp(prefix="outside-"))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def listener(
    family: int, address: str | tuple[str, int], kind: int = socket.SOCK_STREAM
) -> Iterator[socket.socket]:
    with socket.socket(family, kind) as listening:
        listening.bind(address)
        listening.setblocking(False)
        if kind == socket.SOCK_STREAM:
            listening.listen()
        if isinstance(address, str) and not address.startswith("\0"):
            os.chmod(address, 0o777)
        yield listening


def was_reached(listening: socket.socket | int) -> bool:
    """Whether a connection, a datagram or bytes wait there; the kernel takes them without our help."""
    return bool(select.select([listening], [], [], 0.05)[0])


class Victim(NamedTuple):
    """A process of the same user beside the sandbox, with a secret in its environment and memory."""

    pid: int
    secret: str

    def got_a_signal(self) -> bool:
        return any(int(status(self.pid, field), 16) for field in ("SigPnd", "ShdPnd")) or not is_running(
            self.pid
        )

    def is_traced(self) -> bool:
        return status(self.pid, "TracerPid") != "0"


@contextmanager
def victim() -> Iterator[Victim]:
    secret = new_secret()
    blocked = {SILENT_SIGNAL}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)  # inherited: a signal then stays pending
    try:
        process = subprocess.Popen(["sleep", "60"], env={"SECRET": secret, "PATH": os.environ["PATH"]})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    with ExitStack() as stack:
        stack.callback(process.wait)
        stack.callback(process.kill)
        eventually(lambda: status(process.pid, "Name") == "sleep")
        yield Victim(process.pid, secret)


def new_secret() -> str:
    return f"{SECRET_BEGINS}{secrets.token_hex(16)}"


SECRET_BEGINS = "canary-"
SECRET_PATTERN = rf"{SECRET_BEGINS}[0-9a-f]{{32}}"


def world_of(pid: int) -> tuple[dict[str, str], set[str], os.stat_result] | None:
    """The namespaces, mounts and root of a process; None if even its user may not look at them."""
    try:
        return namespaces(pid), mounts(pid), os.stat(f"/proc/{pid}/root")
    except PermissionError:
        return None


def is_below_us(pid: int) -> bool:
    table = processes()
    while pid in table and pid != os.getpid():
        pid = table[pid].parent
    return pid == os.getpid()
