"""What `palaestra doctor` tells about the Docker engine."""

from __future__ import annotations

import re

import docker
from docker.errors import ImageNotFound

from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.engine import connect, problems, requests_to_engine
from palaestra.sandbox.docker.image import image_name

Version = tuple[int, ...]

KNOWN_BAD: tuple[tuple[str, Version, Version, str], ...] = (
    ("runc", (0,), (1, 1, 12), "CVE-2024-21626: a container can get at the host's files"),
    ("runc", (0,), (1, 2, 8), "CVE-2025-31133, -52565 and -52881: a container can write the host's /proc"),
    ("runc", (1, 3), (1, 3, 3), "CVE-2025-31133, -52565 and -52881: a container can write the host's /proc"),
)
"""Component, the first bad version and the first good one after it, and why."""


def report() -> list[tuple[str, str]]:
    """Rows of a table: what, and what was found.

    Raises:
        SandboxUnavailable: no engine answers.
    """
    engine = connect()
    with requests_to_engine():
        info, version = engine.info(), engine.version()
        image = image_name() + (" is made" if _has_image(engine) else " is missing: palaestra sandbox build")
    found = {each["Name"].lower(): each["Version"] for each in version.get("Components") or ()}
    return [
        (
            "docker",
            ", ".join(f"{name} {found[name]}" for name in ("engine", "containerd", "runc") if name in found),
        ),
        ("docker runtimes", ", ".join(sorted(info["Runtimes"]))),
        ("docker image", image),
        *(("docker problem", problem) for problem in problems(info, DockerConfig().runtime)),
        *(("docker warning", warning) for warning in known_bad(found)),
    ]


def known_bad(components: dict[str, str]) -> list[str]:
    """What is known against these versions, by component."""
    return [
        f"{name} {components[name]} has {flaw}; upgrade to {'.'.join(map(str, good))} or newer, unless your "
        "distribution has mended it"
        for name, bad, good, flaw in KNOWN_BAD
        if name in components and bad <= _numbers(components[name]) < good
    ]


def _numbers(version: str) -> Version:
    """
    >>> _numbers("1.1.5+ds1"), _numbers("v2.0.0-rc.1")
    ((1, 1, 5), (2, 0, 0))
    """
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _has_image(engine: docker.APIClient) -> bool:
    try:
        engine.inspect_image(image_name())
    except ImageNotFound:
        return False
    return True
