"""What a process may do beyond other processes of its user: given up, for good."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import struct
from collections.abc import Iterable
from contextlib import suppress

from palaestra.sandbox.jail.kernel.libc import library_call, system_call

NOBODY = 65534
DAC_OVERRIDE, KILL = 1, 5
"""Capabilities: to open every file, and to signal every process."""

_CAPABILITIES_VERSION = 0x20080522


def _prctl(option: int, argument: int = 0, argument3: int = 0) -> int:
    return library_call("prctl", option, argument, argument3, 0, 0)


def no_new_privileges() -> None:
    """Executing a set-uid program gives nothing any more. Landlock and seccomp ask for it."""
    set_no_new_privs = 38
    _prctl(set_no_new_privs, 1)


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may trace the process, read its memory and /proc entries, and whether a
    core dump is made, which may end in a program that the kernel runs as root."""
    set_option = 4
    _prctl(set_option, dumpable)


def be_the_first_to_die(proc: int | None = None) -> None:
    """When the machine runs out of memory. `proc` is a descriptor of /proc, where that has no name."""
    file = os.open(f"{'/proc/' if proc is None else ''}self/oom_score_adj", os.O_WRONLY, dir_fd=proc)
    os.write(file, b"1000")
    os.close(file)


def die_with_parent() -> None:
    """Be killed when the parent ends. Every change of credentials clears this: call it after the last one."""
    set_death_signal = 1
    _prctl(set_death_signal, signal.SIGKILL)


def drop_bounding_set() -> None:
    """No executed file can give a capability any more. Means nothing for who has none, and fails there."""
    drop_from_bounding_set = 24
    for capability in range(_capabilities()):
        _prctl(drop_from_bounding_set, capability)


def drop_capabilities(kept: Iterable[int] = ()) -> None:
    """Give up all but these, as far as they are there."""
    ambient, clear_all = 47, 4
    _prctl(ambient, clear_all)
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    found = ctypes.create_string_buffer(24)
    system_call("capget", header, found)
    _, permitted, *_ = struct.unpack("=6I", found.raw)
    left = permitted & sum(1 << capability for capability in kept)
    system_call("capset", header, struct.pack("=6I", left, left, 0, 0, 0, 0))


@functools.cache
def _capabilities() -> int:
    """How many the kernel knows."""
    read_from_bounding_set = 23
    for capability in range(64):
        try:
            _prctl(read_from_bounding_set, capability)
        except OSError:
            return capability
    return 64


def users_for_root() -> tuple[int, ...]:
    """Users (and groups) of the host that root's jails can have, the best first: one that no other process
    has, beyond the ranges that systems give away; or nobody, in a container with few users.

    Root itself would stay exempt from limits on processes, and be the owner of the kernel's settings.
    """
    return 0x70000000 + os.getpid(), NOBODY


def become(user: int, group: int) -> None:
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def leave_keyring() -> None:
    """An empty session keyring in the place of the login's, which may hold keys of the user."""
    join_session_keyring = 1
    with suppress(OSError):  # a kernel without keyrings
        system_call("keyctl", join_session_keyring, None)
