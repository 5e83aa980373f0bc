"""The processes that this one has started, and what they hold."""

from __future__ import annotations

import os
from pathlib import Path


def private_memory() -> int:
    """Bytes that the descendants of this process have for themselves."""
    total = 0
    for process in descendants():
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) << 10
    return total


def descendants(ancestor: int | None = None) -> set[int]:
    """The living processes below this one, or below `ancestor`."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state not in "ZX":
            parents[int(status.parent.name)] = int(parent)
    above = os.getpid() if ancestor is None else ancestor
    found = {above}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {above}
