"""Limits of one process, and what threads cost."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress

from palaestra.sandbox.jail.kernel.libc import library_call

OPEN_FILES = 256
CORE = 1
"""Bytes of a core dump. A program of the host's that takes dumps is started at a limit of 0, not at 1."""
THREAD_STACK = 2 << 20
"""Bytes. The usual 8 MiB for each thread would use up a limited address space."""


def limit(name: str, most: int) -> None:
    kind = getattr(resource, f"RLIMIT_{name}")
    before = resource.getrlimit(kind)[1]
    value = most if before == resource.RLIM_INFINITY else min(most, before)
    resource.setrlimit(kind, (value, value))


def limit_resources(memory: int, processes: int, file_size: int) -> None:
    """Bytes of address space, threads and processes of this user (in its namespace), bytes of a file."""
    for name, most in {
        "AS": memory,
        "NPROC": processes,
        "FSIZE": file_size,
        "NOFILE": OPEN_FILES,
        "CORE": CORE,
        "MEMLOCK": 0,
        "MSGQUEUE": 0,
        "RTPRIO": 0,
        "NICE": 0,
        "SIGPENDING": 1024,
    }.items():
        limit(name, most)


def open_many_files() -> None:
    """As many as may be, for who holds a few for each session."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def make_threads_small() -> None:
    """For threads that start from now on in this process and in its forks.

    Two arenas are enough: each reserves 64 MiB of address space.
    """
    most_arenas = -8
    with suppress(AttributeError):  # a C library without arenas
        library_call("mallopt", most_arenas, 2)
    attributes = ctypes.create_string_buffer(64)  # pthread_attr_t has 56 or 64 bytes
    library_call("pthread_attr_init", attributes)
    library_call("pthread_attr_setstacksize", attributes, THREAD_STACK)
    library_call("pthread_setattr_default_np", attributes)
