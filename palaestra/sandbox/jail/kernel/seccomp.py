"""The filter of system calls: what a Python program computes with is allowed, everything else fails.

A list of what is allowed, so that calls which later kernels add stay closed. Calls that a program may try
in good faith fail with EPERM; unknown ones with ENOSYS, on which the C library falls back to older ones.
Whatever could reach another process, a socket that is not a pair, the kernel's larger interfaces (io_uring,
BPF, perf, keyrings, userfaultfd) or memory that no limit counts (memfd, shared memory, locks of files, bytes
out of band) is not allowed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from collections.abc import Sequence

from palaestra.sandbox.jail.kernel.libc import library_call
from palaestra.sandbox.jail.kernel.system_calls import ARCHITECTURES, NUMBERS, number

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2
dup3 pipe pipe2 stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink
readlinkat getdents64 getcwd chdir fchdir umask mkdir mkdirat rmdir unlink unlinkat rename renameat symlink
symlinkat ftruncate fadvise64 fsync fdatasync sendfile copy_file_range poll ppoll select pselect6 epoll_create
epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd eventfd2 shutdown getsockname getpeername munmap
mprotect mremap madvise msync brk set_robust_list set_tid_address rseq sched_yield getcpu rt_sigaction
rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause restart_syscall
nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time getitimer setitimer alarm getpid gettid
getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getrusage times sysinfo uname
getrlimit setrlimit getrandom exit exit_group wait4 waitid
"""

ALLOWED_IN_OWN_WORLD = """
chmod fchmod fchmodat utime utimes utimensat futimesat truncate link linkat fallocate
getpgid getsid getpriority sched_getaffinity
"""
"""Where no file and no process of the host's can be named, and the kernel bounds the disk. Landlock leaves
them open (truncate before its version 3), and reserved space grows too fast for who watches a folder."""

ALLOWED_WITH_PROCESSES = "fork vfork execve arch_prctl setsid"
"""Not setpgid: the kernel wakes a stopped group up when it is orphaned, and a session has one group now."""

UNSUPPORTED = """
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr
lremovexattr fremovexattr fallocate
"""
"""Fail as on a file system without extended attributes, which the copying functions of `shutil` expect, and
without reserved space, where the C library writes instead."""

UNREADABLE = "clone3"
"""Its flags are in memory, where a filter cannot look; the C library then uses `clone`."""

CLONE_THREAD = 0x00010000
CLONE_NAMESPACES, CLONE_PARENT = 0x7E020080, 0x00008000
CLONE_END_SIGNAL, END_SIGNALS = 0xFF, (0, signal.SIGCHLD)
"""The signal that a parent gets when its child ends."""
AWAKENING = (signal.SIGCONT,)
"""It takes back an order to stop which is not carried out yet. Only the supervisor lets a session go on."""
O_CREATE, O_TRUNCATE, O_UNNAMED = 0o100, 0o1000, 0o20000000
O_ACCESS = 0o3
AF_UNIX, SOCK_STREAM, SOCK_TYPE = 1, 1, 0xF
MAP_HUGETLB = 0x40000

PRCTL = (15, 16, 3, 39, 0x53564D41)
"""Set and get the name of a thread, get dumpable and no_new_privs, name a mapping. Not the death signal."""
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Terminal or not, its size, bytes that wait, non-blocking, close on exec. Not a signal's owner, or input."""
FCNTL = (0, 1, 2, 3, 4, 5, 1030, 1032)
"""Duplicate, flags, look for a lock, size of a pipe. Not a signal's owner and kind, nor a larger pipe."""
LOCKS = (6, 7)
"""Of parts of files, for a process. Each takes memory of the kernel that no limit counts. A process alone
never waits for its own, so that it may believe to have them, as SQLite must."""
SOL_SOCKET, SOCKET_OPTIONS = 1, (3, 4, 7, 8, 38, 39)
"""Type, error, buffers, protocol, domain. Not a descriptor of the process at the other end."""
MESSAGE_FLAGS = 0x4142
"""Peek, do not wait, wait for all, no signal. Not bytes out of band."""
FUTEX_OPERATION, FUTEX_INHERITING = 0x7F, (6, 7, 8, 11, 12, 13)
"""Those that inherit priorities, which neither Python nor the C library's usual locks use."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000

Instruction = tuple[int, int, int, int]
"""Operation, instructions to skip when the test holds and when not, constant."""


def _argument(index: int) -> Instruction:
    """Load the lower half of an argument. The kernel itself reads no more of those that are tested here."""
    return (_LOAD, 0, 0, 16 + 8 * index)


def _fail(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | code)


ALLOW: Instruction = (_RETURN, 0, 0, _ALLOW)
REFUSE = _fail(errno.EPERM)
PRETEND = _fail(0)


def _one_of(
    argument: int,
    values: Sequence[int],
    then: Instruction = ALLOW,
    otherwise: Sequence[Instruction] = (REFUSE,),
) -> list[Instruction]:
    tests = [
        (_EQUAL, len(values) - place - 1 + len(otherwise), 0, value) for place, value in enumerate(values)
    ]
    return [_argument(argument), *tests, *otherwise, then]


def _without(argument: int, bits: int, refusal: Instruction = REFUSE) -> list[Instruction]:
    return [_argument(argument), (_ANY_BIT, 0, 1, bits), refusal, ALLOW]


def _opening(flags: int) -> list[Instruction]:
    """Files without a name are not counted by who watches a folder, and before its version 3 Landlock takes
    a file that is opened to read, and truncated, for one that is read."""
    return [
        _argument(flags),
        (_ANY_BIT, 0, 1, O_UNNAMED),
        _fail(errno.EOPNOTSUPP),
        (_AND, 0, 0, O_TRUNCATE | O_ACCESS),
        (_EQUAL, 0, 1, O_TRUNCATE),
        REFUSE,
        ALLOW,
    ]


def _conditions(process: int, processes: bool) -> dict[str, list[Instruction]]:
    end_signal = _one_of(0, END_SIGNALS)
    clone = [
        _argument(0),
        (_ANY_BIT, 0, 1, CLONE_NAMESPACES | CLONE_PARENT),
        REFUSE,
        (_AND, 0, 0, CLONE_END_SIGNAL),
        *end_signal[1:],
    ]
    if not processes:
        clone = [_argument(0), (_ANY_BIT, 1, 0, CLONE_THREAD), REFUSE, *clone]
    receiver = [ALLOW] if processes else _one_of(0, (process,))
    inheriting = _one_of(1, FUTEX_INHERITING, _fail(errno.ENOSYS), [ALLOW])
    return {
        "clone": clone,
        "open": _opening(1),
        "openat": _opening(2),
        "prctl": _one_of(0, PRCTL),
        "ioctl": _one_of(1, IOCTL),
        "fcntl": _one_of(1, FCNTL) if processes else _one_of(1, LOCKS, PRETEND, _one_of(1, FCNTL)),
        "futex": [inheriting[0], (_AND, 0, 0, FUTEX_OPERATION), *inheriting[1:]],
        "mmap": _without(3, MAP_HUGETLB),
        "renameat2": _without(4, 0xFFFFFFFF, _fail(errno.EINVAL)),
        "sendto": _without(3, 0xFFFFFFFF & ~MESSAGE_FLAGS),
        "recvfrom": _without(3, 0xFFFFFFFF & ~MESSAGE_FLAGS),
        "getsockopt": [_argument(1), (_EQUAL, 1, 0, SOL_SOCKET), REFUSE, *_one_of(2, SOCKET_OPTIONS)],
        "prlimit64": _one_of(0, (0, process)),
        "getpgid": _one_of(0, (0, process)),
        "getsid": _one_of(0, (0, process)),
        "sched_getaffinity": _one_of(0, (0, process)),
        "getpriority": _one_of(1, (0, process)),
        "kill": _one_of(1, AWAKENING, REFUSE, receiver),
        "tgkill": _one_of(2, AWAKENING, REFUSE, receiver),
        # A pair of datagram sockets could still send to any address that the file system names.
        "socketpair": [
            _argument(0),
            (_EQUAL, 0, 3, AF_UNIX),
            _argument(1),
            (_AND, 0, 0, SOCK_TYPE),
            (_EQUAL, 1, 0, SOCK_STREAM),
            REFUSE,
            ALLOW,
        ],
    }


def program(process: int, *, own_world: bool, processes: bool) -> bytes:
    """The filter for the process of this number.

    `own_world`: every file and process that it can name is the jail's own. `processes`: it may start others,
    which can then signal each other; for a process that sees no processes but its own.
    """
    allowed = ALLOWED.split()
    if own_world:
        allowed += ALLOWED_IN_OWN_WORLD.split()
    if processes:
        allowed += ALLOWED_WITH_PROCESSES.split()
    conditions = _conditions(process, processes)
    rules: dict[str, Sequence[Instruction]] = {
        **conditions,  # first: the kernel asks for these each time, and remembers the answer for others
        **dict.fromkeys(NUMBERS, (REFUSE,)),
        **dict.fromkeys(UNSUPPORTED.split(), (_fail(errno.ENOTSUP),)),
        **dict.fromkeys(UNREADABLE.split(), (_fail(errno.ENOSYS),)),
        **conditions,
        **dict.fromkeys(allowed, (ALLOW,)),
    }
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, ARCHITECTURES[os.uname().machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, 0x40000000),  # the x32 way into x86_64's kernels
        (_RETURN, 0, 0, _KILL),
    ]
    for name, rule in rules.items():
        if (wanted := number(name)) is not None:
            code += [(_EQUAL, 0, len(rule), wanted), *rule]
    return b"".join(struct.pack("=HBBI", *step) for step in [*code, _fail(errno.ENOSYS)])


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(code: bytes) -> None:
    """For this thread and all that it starts, for good. Needs no_new_privs."""
    set_seccomp, mode_filter = 22, 2
    library_call("prctl", set_seccomp, mode_filter, _Program(len(code) // 8, code), 0, 0)
