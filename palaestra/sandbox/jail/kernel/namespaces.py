"""A process with its own view of users, files, processes, network and System V objects."""

from __future__ import annotations

import ctypes
import os
import signal

from palaestra.sandbox.jail.kernel.libc import library_call, system_call

USER, MOUNT, PROCESS, NETWORK = 0x10000000, 0x00020000, 0x20000000, 0x40000000
IPC, UTS, CGROUP = 0x08000000, 0x04000000, 0x02000000
SHARED = USER | MOUNT | NETWORK | UTS | CGROUP
"""What a zygote's sessions have in common: an empty network, in which nobody can make a socket, and which
takes milliseconds to make and to remove; the name of the machine; the root of the control groups."""
OWN = USER | MOUNT | PROCESS | IPC
"""What each session has to itself."""

INSIDE = 1000
"""User and group in a jail. Not 0, which the kernel and many programs treat in their own way."""


def unshare(flags: int) -> None:
    library_call("unshare", flags)


def fork_into(flags: int) -> int:
    """Like `os.fork`, the child in new namespaces, and the first process of a new process namespace.

    `unshare` and `os.fork` would need a process between them for this. The caller has one thread. What the
    interpreter does about a fork is asked of it by hand.
    """
    ctypes.pythonapi.PyOS_BeforeFork()
    try:
        child = system_call("clone", flags | signal.SIGCHLD, 0, 0, 0, 0)
    except OSError:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        raise
    if child:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return child


def map_ids(proc: int, process: str, outside: tuple[int, int], *, keep_groups: bool) -> None:
    """Let INSIDE stand for this user and group of the parent namespace, and no number for any other.

    `proc` is a descriptor of /proc, and `process` a name in it. Whoever is not privileged in the parent
    namespace can map itself alone, and must give up the right to change its groups.
    """
    user, group = outside
    lines = {"uid_map": f"{INSIDE} {user} 1", "gid_map": f"{INSIDE} {group} 1"}
    if not keep_groups:
        lines = {"setgroups": "deny", **lines}
    for name, line in lines.items():
        file = os.open(f"{process}/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc)
        os.write(file, line.encode())
        os.close(file)
