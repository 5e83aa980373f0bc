"""What a process that was killed leaves behind: containers, and folders with sockets."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from requests.exceptions import RequestException

from palaestra.core.errors import SandboxError
from palaestra.sandbox import owners

FOLDER = "palaestra-docker-"
"""Begins the name of a folder that holds the socket of a session which starts."""
REMOVAL_SECONDS = 30.0
CONFLICT = 409
"""HTTP status with which the engine says that it is removing the container already."""


def owner_labels() -> dict[str, str]:
    """Labels that tell which process a container belongs to, across restarts of the machine."""
    return {
        "palaestra.owner": str(os.getpid()),
        "palaestra.started": owners.start_time(os.getpid()) or "",
        "palaestra.processes": owners.process_namespace(),
        "palaestra.boot": _boot(),
    }


def folder_prefix() -> str:
    """For a folder of this process's own; tells the same."""
    return owners.folder_prefix(FOLDER)


def is_orphan(labels: Mapping[str, str]) -> bool:
    """Whether the owner with these labels is dead. One in another process namespace cannot be seen: False."""
    if labels["palaestra.boot"] != _boot():
        return True
    if labels["palaestra.processes"] != owners.process_namespace():
        return False
    return owners.start_time(int(labels["palaestra.owner"])) != labels["palaestra.started"]


def sweep(engine: docker.APIClient) -> list[str]:
    """Remove the containers of dead owners, and folders that a start left behind; returns their names."""
    found = engine.containers(all=True, filters={"label": list(owner_labels())})
    orphans = [each for each in found if is_orphan(each["Labels"])]
    for container in orphans:
        remove(engine, container["Id"])
    names = [container["Names"][0].removeprefix("/") for container in orphans]
    return names + owners.sweep_folders(FOLDER)


def remove(engine: docker.APIClient, container: str) -> None:
    """Kill and remove a container; returns when the engine no longer knows it.

    Raises:
        SandboxError: the engine does not get it done.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    while time.monotonic() < deadline:
        try:
            engine.remove_container(container, force=True, v=True)
        except NotFound:
            return
        except (APIError, RequestException) as error:
            if not (isinstance(error, APIError) and error.status_code == CONFLICT):
                raise SandboxError(
                    f"the container {container} stays ({error}); run: palaestra clean"
                ) from error
            time.sleep(0.005)
    raise SandboxError(
        f"the container {container} is still there after {REMOVAL_SECONDS:g} s; run: palaestra clean"
    )


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
