"""System calls that are allowed in part: what is left of them, and what is not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]
CALL = """
import ctypes, errno, fcntl, mmap, os, platform, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def system_call(numbers, *arguments):
    result = libc.syscall(ctypes.c_long(numbers[platform.machine() != 'x86_64']), *arguments)
    return 'done' if result >= 0 else errno.errorcode[ctypes.get_errno()]
def outcome(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return 'done'
here, there = socket.socketpair()
there.send(b'xyz')
file = open('file', 'wb')
"""
REFUSED = {
    "the process at the other end": ("outcome(here.getsockopt, socket.SOL_SOCKET, 77)", "EPERM"),
    "its credentials": ("outcome(here.getsockopt, socket.SOL_SOCKET, socket.SO_PEERCRED, 12)", "EPERM"),
    "options of another level": ("outcome(here.getsockopt, 6, 3)", "EPERM"),
    "sending out of band": ("outcome(here.send, b'x', socket.MSG_OOB)", "EPERM"),
    "receiving out of band": ("outcome(here.recv, 1, socket.MSG_OOB)", "EPERM"),
    "a lock on an open file": (
        "outcome(fcntl.fcntl, file, 37, struct.pack('hhqqi4x', 1, 0, 0, 1, 0))",
        "EPERM",
    ),
    "a lock that inherits priorities": (
        "system_call((202, 98), ctypes.byref(ctypes.c_int()), 6, 0, None)",
        "ENOSYS",
    ),
    "that lock, of this process alone": (
        "system_call((202, 98), ctypes.byref(ctypes.c_int()), 128 | 13, 0, None)",
        "ENOSYS",
    ),
    "waking itself up": ("outcome(os.kill, os.getpid(), signal.SIGCONT)", "EPERM"),
    "waking a thread up": (
        "system_call((234, 131), os.getpid(), os.getpid(), int(signal.SIGCONT))",
        "EPERM",
    ),
    "a barrier for all threads": ("system_call((324, 283), 0, 0, 0)", "EPERM"),
    "renaming with flags": ("system_call((316, 276), -100, b'file', -100, b'other', 1)", "EINVAL"),
    "huge pages": (
        "outcome(mmap.mmap, -1, 2 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)",
        "EPERM",
    ),
}
LEFT = {
    "peeking without waiting": ("here.recv(3, socket.MSG_PEEK | socket.MSG_DONTWAIT)", "b'xyz'"),
    "waiting for all": ("here.recv(3, socket.MSG_WAITALL)", "b'xyz'"),
    "what a socket is": ("socket.socket(fileno=os.dup(here.fileno())).type.name", "'SOCK_STREAM'"),
    "the error and buffers of a socket": (
        "here.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "
        "here.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 0",
        "(0, True)",
    ),
    "a lock that nobody else could want": ("fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)", ""),
    "space that is written": ("os.posix_fallocate(file.fileno(), 0, 5000); os.stat('file').st_size", "5000"),
    "its own group and processors": (
        "os.getsid(0) == os.getsid(os.getpid()) and len(os.sched_getaffinity(0)) > 0, "
        "os.getpriority(os.PRIO_PROCESS, os.getpid())",
        "(True, 0)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(in_sandbox: InSandbox, what: str) -> None:
    attempt, refusal = REFUSED[what]

    async def test(sandbox: WorkerSandbox) -> None:
        assert (await sandbox.run(f"{CALL}\n{attempt}")).value == repr(refusal)

    in_sandbox(test)


def test_what_is_left(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        for what, (code, value) in LEFT.items():
            result = await sandbox.run(f"{CALL}\n{code}")
            assert (result.value, result.error) == (value, ""), what

    in_sandbox(test)


def test_locks_of_files_take_no_memory_of_the_kernel_and_databases_work(in_sandbox: InSandbox) -> None:
    locking = """
for start in range(100):
    fcntl.fcntl(file, 6, struct.pack('hhqqi4x', 1, 0, 2 * start, 1, 0))"""
    database = """
import sqlite3
found = []
for name in (':memory:', 'database'):
    connection = sqlite3.connect(name)
    connection.execute('pragma journal_mode = truncate')  # the tier landlock lets no file be removed
    connection.execute('create table numbers (number)')
    connection.executemany('insert into numbers values (?)', [(number,) for number in range(9)])
    connection.commit()
    found += connection.execute('select sum(number) from numbers').fetchone()
found"""

    def locks() -> int:
        return len(Path("/proc/locks").read_text().splitlines())

    async def test(sandbox: WorkerSandbox) -> None:
        before = locks()
        assert (await sandbox.run(f"{CALL}\n{locking}")).status == "ok"
        assert locks() < before + 50
        assert (await sandbox.run(database)).value == "[36, 36]"

    in_sandbox(test)


def test_other_processes_are_not_asked_about(in_sandbox: InSandbox, tier: str) -> None:
    asking = "[outcome(ask, *words, 1) for ask, *words in "
    asking += "((os.getpgid,), (os.getsid,), (os.sched_getaffinity,), (os.getpriority, 0))]"

    async def test(sandbox: WorkerSandbox) -> None:
        expected = "EPERM" if tier == "landlock" else "done"  # the supervisor, which is number 1 there
        assert (await sandbox.run(f"{CALL}\n{asking}")).value == repr([expected] * 4)

    in_sandbox(test)


def test_space_is_not_reserved_where_it_is_only_watched(in_sandbox: InSandbox, tier: str) -> None:
    reserving = "system_call((285, 47), file.fileno(), 1, ctypes.c_long(0), ctypes.c_long(4096))"
    linking = "outcome(os.link, 'file', 'linked')"

    async def test(sandbox: WorkerSandbox) -> None:
        values = [(await sandbox.run(f"{CALL}\n{code}")).value for code in (reserving, linking)]
        assert values == (["'ENOTSUP'", "'EPERM'"] if tier == "landlock" else ["'done'", "'done'"])

    in_sandbox(test)
