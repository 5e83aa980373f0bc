"""Temporary folders that tell which process they belong to, so that those of dead ones can be removed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def process_namespace() -> str:
    """In which process numbers mean something."""
    return str(os.stat("/proc/self/ns/pid").st_ino)


def start_time(process: int) -> str | None:
    """In clock ticks since the machine started; None when there is no such process, or only its remains."""
    with suppress(FileNotFoundError, ProcessLookupError):
        line = Path(f"/proc/{process}/stat").read_text(errors="replace")  # a process may have any name
        state, *rest = line.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    return None


def folder_prefix(kind: str) -> str:
    """For the name of a folder of this process's own; `kind` is the beginning that such folders share."""
    return f"{kind}{os.getpid()}-{start_time(os.getpid())}-{process_namespace()}-"


def sweep_folders(kind: str) -> list[str]:
    """Remove those of this user whose owners are dead; gives their paths.

    An owner in another process namespace cannot be seen, and keeps its folders.
    """
    folders = [
        folder for folder in Path(tempfile.gettempdir()).glob(f"{kind}*-*-*-*") if _is_orphaned(folder, kind)
    ]
    for folder in folders:
        with suppress(RecursionError):  # a stranger's, made to be too deep
            shutil.rmtree(folder, ignore_errors=True)
    return [str(folder) for folder in folders]


def _is_orphaned(folder: Path, kind: str) -> bool:
    """Anybody may have made it, and named it as they liked."""
    with suppress(FileNotFoundError):
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or os.geteuid() not in (0, found.st_uid):
            return False
        owner, started, namespace, *_ = folder.name.removeprefix(kind).split("-")
        return namespace == process_namespace() and owner.isdecimal() and start_time(int(owner)) != started
    return False
