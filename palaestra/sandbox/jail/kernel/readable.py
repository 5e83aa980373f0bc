"""The files of the host's that Python itself needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence

EXTRAS = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/lib64", "/usr/lib64")
DEVICES = ("/dev/null", "/dev/urandom")
PROGRAMS = ("/usr", "/bin", "/lib", sys.executable)
"""Where cells may start other programs."""
LINKS = ("/bin", "/lib", "/lib64", "/usr/lib64")
"""Folders that are links on most machines, and are named by this name in programs and libraries."""


def standard_library() -> list[str]:
    return [folder for folder in sys.path if os.path.isdir(folder)]


def needed(folders: Iterable[str]) -> list[str]:
    """These folders, the standard library, and the folders of the shared libraries that this process has
    loaded, where the system's others are too."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        files = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line and "/" in line}
    libraries = {os.path.dirname(file) for file in files}
    return [path for path in {*folders, *standard_library(), *libraries, *EXTRAS} if os.path.exists(path)]


def outermost(paths: Iterable[str]) -> list[str]:
    """The true names of files and folders, without those that are below others."""
    found: list[str] = []
    for path in sorted(map(os.path.realpath, paths)):
        if not any(path == other or path.startswith(f"{other}/") for other in found):
            found.append(path)
    return found


def links(paths: Iterable[str]) -> dict[str, str]:
    """Other names that lead to their true ones."""
    return {
        path: os.path.realpath(path) for path in (*LINKS, *sorted(paths)) if path != os.path.realpath(path)
    }


def packages_within(paths: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The folders of installed packages that lie below these paths, without those that are wanted."""
    names = ("site-packages", "dist-packages")
    parents = {*paths, *standard_library()}
    for path in filter(os.path.isdir, paths):
        parents.update(f"{path}/{name}" for name in os.listdir(path) if name.startswith("python"))
    folders = [f"{parent}/{name}" for parent in parents for name in names]
    found = set(map(os.path.realpath, filter(os.path.isdir, folders)))
    return sorted(
        folder
        for folder in found - {*map(os.path.realpath, wanted)}
        if any(folder.startswith(f"{path}/") for path in paths)
    )


def without(path: str, hidden: Iterable[str]) -> Iterator[str]:
    """Paths that together hold what is at and below `path`, but not what is hidden."""
    below = [other for other in hidden if other == path or other.startswith(f"{path}/")]
    if not below:
        yield path
    elif path not in below:
        for entry in os.scandir(path):
            yield from without(entry.path, below)
