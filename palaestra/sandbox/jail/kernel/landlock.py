"""Landlock: which files a process can open, whatever its user may.

Kernel 5.13 and newer. Each version of the interface restricts more; what it leaves open is closed by
seccomp (the metadata of files, sockets, signals).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable

from palaestra.sandbox.jail.kernel.libc import system_call

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE = 1 << 13, 1 << 14

READ = READ_FILE | READ_DIR
ONLY_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
GROW = READ | WRITE_FILE | MAKE_REG | TRUNCATE
"""Make files and write to them; they cannot be deleted, nor hidden in folders, from who counts them."""
USE = GROW | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_SYM | REFER

_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many of the rights a version knows, from the lowest bit on."""
_NO_TCP = 0b11
_SCOPE = 0b11
"""No abstract Unix socket and no signal beyond the domain, since version 6."""


def version() -> int:
    """
    Raises:
        OSError: the kernel has no Landlock, or it is not switched on.
    """
    only_version = 1
    return system_call("landlock_create_ruleset", None, 0, only_version)


def exists() -> bool:
    try:
        return version() > 0
    except OSError:
        return False


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Leave this process, and all that it starts, these rights at and below these paths, and no others.

    Needs no_new_privs.
    """
    known = version()
    handled = (1 << _RIGHTS[min(known, max(_RIGHTS))]) - 1
    attributes = struct.pack("=QQQ", handled, _NO_TCP, _SCOPE)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = system_call("landlock_create_ruleset", attributes[:size], size, 0)
    for path, rights in rules:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= ONLY_FILES
        if rights & handled:
            beneath = 1
            rule = struct.pack("=Qi", rights & handled, opened)
            system_call("landlock_add_rule", ruleset, beneath, rule, 0)
        os.close(opened)
    do_not_log = 1  # what a program tries in good faith would fill the log of the machine
    system_call("landlock_restrict_self", ruleset, do_not_log if known >= 7 else 0)
    os.close(ruleset)
