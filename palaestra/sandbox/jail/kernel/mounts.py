"""A file system of its own: folders of the host's, read-only, in an empty one (kernel 5.12 and newer)."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Mapping

from palaestra.sandbox.jail.kernel.libc import library_call, system_call

READ_ONLY, NO_SETUID, NO_DEVICES, NO_EXECUTION = 1, 2, 4, 8
RECURSIVE, PRIVATE = 16384, 1 << 18
AT_FDCWD = -100
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_CLONE, _CLOEXEC = 1, 0o2000000
_MOVE_FROM_DESCRIPTOR = 4
_DETACH = 2

EMPTY = b"size=4k,nr_inodes=2,mode=0555"


def seal_off() -> None:
    """Mounts and unmounts here are not seen elsewhere, nor later ones elsewhere here."""
    library_call("mount", None, b"/", None, RECURSIVE | PRIVATE, None)


def copy_tree(path: str, flags: int) -> int:
    """A descriptor of a copy of what is mounted at and below `path`, not yet mounted anywhere."""
    tree = system_call("open_tree", AT_FDCWD, os.fsencode(path), _CLONE | _CLOEXEC | _AT_RECURSIVE)
    set_flags(tree, "", flags, _AT_EMPTY_PATH | _AT_RECURSIVE)
    return tree


def set_flags(folder: int, path: str, flags: int, at: int = 0) -> None:
    """Unlike a remount, this need not repeat the flags that a mount has already, and reaches all below."""
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    system_call("mount_setattr", folder, os.fsencode(path), at, attributes, len(attributes))


def attach(tree: int, path: str) -> None:
    system_call("move_mount", tree, b"", AT_FDCWD, os.fsencode(path), _MOVE_FROM_DESCRIPTOR)
    os.close(tree)


def mount_memory(path: str, flags: int, options: bytes) -> None:
    """An empty file system in memory."""
    library_call("mount", b"tmpfs", os.fsencode(path), b"tmpfs", flags, options)


def build_root(
    trees: Mapping[str, int], hidden: Iterable[str], links: Mapping[str, str], scratch: str
) -> None:
    """Replace the root by an empty one with these trees, links, and the empty folder `scratch`.

    Folders named in `hidden` appear empty. The old root and everything in it is gone afterwards.
    """
    root = "/proc"  # any folder that surely exists; it is covered until it becomes the root
    mount_memory(root, NO_SETUID | NO_DEVICES, b"size=1m,nr_inodes=1k,mode=0755")
    os.chdir(root)
    for path in sorted(trees):  # those below others come later
        _make_place(f".{path}", trees[path])
        attach(trees[path], f".{path}")
    for path in hidden:
        mount_memory(f".{path}", READ_ONLY | NO_SETUID | NO_DEVICES | NO_EXECUTION, EMPTY)
    for path, target in links.items():
        if not os.path.lexists(f".{path}"):
            os.makedirs(os.path.dirname(f".{path}"), exist_ok=True)
            os.symlink(target, f".{path}")
    os.makedirs(f".{scratch}")
    system_call("pivot_root", b".", b".")
    library_call("umount2", b".", _DETACH)  # the old root, which came to lie over the new one
    os.chdir("/")
    set_flags(AT_FDCWD, "/", READ_ONLY | NO_SETUID | NO_DEVICES)


def _make_place(path: str, tree: int) -> None:
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x"):
            pass
