"""The Docker engine: reaching it, and whether it can keep what the backend promises."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from palaestra.core.errors import SandboxUnavailable

SECONDS = 60
"""Elapsed time that one request to the engine may take."""
LIMITS = {"MemoryLimit": "memory", "SwapLimit": "swap", "PidsLimit": "processes"}
"""What the engine must be able to bound, by the name that it tells it under."""


def connect() -> docker.APIClient:
    """A client of the engine that `DOCKER_HOST` names, or of the usual one.

    Raises:
        SandboxUnavailable: no engine answers, or none can on this system.
    """
    if sys.platform != "linux":
        raise SandboxUnavailable(
            "the sandbox backend 'docker' needs Linux, since its channel is a socket that container and host "
            "share: run Palaestra in a Linux virtual machine (WSL2, Lima, Colima) that has a Docker engine"
        )
    try:
        engine = docker.APIClient(timeout=SECONDS, **kwargs_from_env())
    except DockerException as error:
        raise SandboxUnavailable(
            f"no Docker engine answers ({_root(error)}): start one, or let DOCKER_HOST name its address, and "
            "run palaestra sandbox build"
        ) from error
    # The client would keep a connection open for each of the latest URLs, and no two sessions share one.
    engine.headers["Connection"] = "close"
    return engine


def _root(error: BaseException) -> str:
    """What went wrong at first, below what others made of it."""
    while before := error.__cause__ or error.__context__:
        error = before
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


@contextmanager
def requests_to_engine() -> Iterator[None]:
    """
    Raises:
        SandboxUnavailable: the engine did not do what it was asked for.
    """
    try:
        yield
    except (DockerException, RequestException) as error:
        raise SandboxUnavailable(
            f"the Docker engine fails ({error}): see its log, and palaestra doctor"
        ) from error


def problems(info: Mapping[str, Any], runtime: str) -> list[str]:
    """Why the engine with this `info` cannot keep the promises with this runtime; each with its way out."""
    found = []
    if info["KernelVersion"] != os.uname().release:
        found.append("it runs in a virtual machine or elsewhere: use an engine of this Linux system itself")
    if runtime not in info["Runtimes"]:
        known = ", ".join(sorted(info["Runtimes"]))
        found.append(f"it has no runtime {runtime!r} (only {known}): register it in the engine's daemon.json")
    if unbounded := [what for key, what in LIMITS.items() if not info.get(key)]:
        found.append(
            f"it cannot bound {', '.join(unbounded)}: let it use cgroups with these controllers (a rootless "
            "engine needs them delegated)"
        )
    if not any(option.startswith("name=seccomp") for option in info["SecurityOptions"] or ()):
        found.append("it has no seccomp: use a kernel and an engine that have it")
    return found
