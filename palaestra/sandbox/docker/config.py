"""Settings of the backend `docker`."""

from __future__ import annotations

from palaestra.core.record import Record


class DockerConfig(Record):
    image: str | None = None
    """Image of the containers; null is the one that `palaestra sandbox build` makes. Another one must be made
    from that one (`FROM palaestra-sandbox:…`), and is never pulled."""
    runtime: str = "runc"
    """Container runtime by the name that the engine knows it by: `runc`, which shares the host's kernel, or
    `runsc` (gVisor), which puts a kernel of its own between the code and the host's."""
    processes: bool = False
    """Whether cells may start processes."""
