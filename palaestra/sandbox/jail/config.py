"""Settings of the backend `jail`."""

from __future__ import annotations

from typing import Literal

from palaestra.core.record import Record


class JailConfig(Record):
    tier: Literal["auto", "namespaces", "landlock"] = "auto"
    """`namespaces`: files, processes, network and users of its own. `landlock`: those of the host, closed;
    for containers. `auto`: the first of them that the machine gives."""
    processes: bool = False
    """Whether cells may start processes, and programs below /usr, each of which may use as much memory as the
    limit says; in the tier `namespaces` only."""
    site_packages: bool = False
    """Whether cells may import the packages that are installed for `python`, such as numpy."""
    python: str | None = None
    """Interpreter of the cells, 3.11 or newer; null is this one. The tier `landlock` of root needs one that
    everybody can read."""
