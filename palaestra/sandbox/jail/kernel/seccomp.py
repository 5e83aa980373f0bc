"""The filter of system calls: what a Python program computes with is allowed, everything else fails.

A list of what is allowed, so that calls which later kernels add stay closed. Calls that a program may try
in good faith fail with EPERM; unknown ones with ENOSYS, on which the C library falls back to older ones.
Whatever could reach another process, a socket that is not a pair, the kernel's larger interfaces (io_uring,
BPF, perf, keyrings, userfaultfd) or memory that no limit counts (memfd, shared memory) is not allowed.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

from palaestra.sandbox.jail.kernel.libc import library_call
from palaestra.sandbox.jail.kernel.system_calls import ARCHITECTURES, NUMBERS, number

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2
dup3 pipe pipe2 stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink
readlinkat getdents64 getcwd chdir fchdir umask mkdir mkdirat rmdir unlink unlinkat rename renameat
renameat2 link linkat symlink symlinkat ftruncate fallocate fadvise64 fsync fdatasync sendfile
copy_file_range poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
eventfd eventfd2 sendto recvfrom shutdown getsockname getpeername getsockopt mmap munmap mprotect mremap
madvise msync brk futex set_robust_list set_tid_address rseq membarrier sched_yield sched_getaffinity getcpu
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
restart_syscall nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time getitimer setitimer
alarm getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid
getsid getpriority getrusage times sysinfo uname getrlimit setrlimit getrandom exit exit_group wait4 waitid
"""

ALLOWED_ON_OWN_FILES = "chmod fchmod fchmodat utime utimes utimensat futimesat truncate"
"""Where no file of the host's can be named. Landlock leaves them open (truncate before its version 3)."""

ALLOWED_WITH_PROCESSES = "fork vfork execve arch_prctl setsid setpgid kill tgkill"

UNSUPPORTED = """
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr
lremovexattr fremovexattr
"""
"""Fail as on a file system without extended attributes, which the copying functions of `shutil` expect."""

UNREADABLE = "clone3"
"""Its flags are in memory, where a filter cannot look; the C library then uses `clone`."""

CLONE_THREAD = 0x00010000
CLONE_NAMESPACES = 0x7E020080
O_CREATE, O_TRUNCATE, O_UNNAMED = 0o100, 0o1000, 0o20000000
O_ACCESS = 0o3
AF_UNIX, SOCK_STREAM, SOCK_TYPE = 1, 1, 0xF

PRCTL = (15, 16, 3, 39, 0x53564D41)
"""Set and get the name of a thread, get dumpable and no_new_privs, name a mapping. Not the death signal."""
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""Terminal or not, its size, bytes that wait, non-blocking, close on exec. Not a signal's owner, or input."""
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
"""Duplicate, flags, locks, size of a pipe. Not the owner and kind of a signal, nor a larger pipe."""

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


def _one_of(argument: int, values: Sequence[int]) -> list[Instruction]:
    tests = [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    return [_argument(argument), *tests, REFUSE, ALLOW]


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
    clone = (
        [_argument(0), (_ANY_BIT, 0, 1, CLONE_NAMESPACES), REFUSE, ALLOW]
        if processes
        else [_argument(0), (_ANY_BIT, 0, 2, CLONE_THREAD), (_ANY_BIT, 1, 0, CLONE_NAMESPACES), ALLOW, REFUSE]
    )
    return {
        "clone": clone,
        "open": _opening(1),
        "openat": _opening(2),
        "prctl": _one_of(0, PRCTL),
        "ioctl": _one_of(1, IOCTL),
        "fcntl": _one_of(1, FCNTL),
        "prlimit64": _one_of(0, (0, process)),
        "kill": _one_of(0, (process,)),
        "tgkill": _one_of(0, (process,)),
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


def program(process: int, *, own_files: bool, processes: bool) -> bytes:
    """The filter for the process of this number.

    `own_files`: every file that it can name is the jail's own. `processes`: it may start others, which can
    then signal each other; for a process that sees no processes but its own.
    """
    allowed = ALLOWED.split()
    if own_files:
        allowed += ALLOWED_ON_OWN_FILES.split()
    if processes:
        allowed += ALLOWED_WITH_PROCESSES.split()
    rules: dict[str, Sequence[Instruction]] = {
        **dict.fromkeys(NUMBERS, (REFUSE,)),
        **dict.fromkeys(UNSUPPORTED.split(), (_fail(errno.ENOTSUP),)),
        **dict.fromkeys(UNREADABLE.split(), (_fail(errno.ENOSYS),)),
        **_conditions(process, processes),
        **dict.fromkeys(allowed, (ALLOW,)),
    }
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, ARCHITECTURES[platform.machine()]),
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
