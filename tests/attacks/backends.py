"""The backends that are attacked, each with its tiers."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path
from typing import Literal

from palaestra.sandbox.docker.config import DockerConfig
from palaestra.sandbox.docker.launcher import DockerLauncher
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher
from palaestra.sandbox.launcher import Launcher
from palaestra.sandbox.unsafe import UnsafeLauncher

BACKENDS = ("unsafe", "jail-namespaces", "jail-landlock", "jail-processes", "docker")


@functools.cache
def launcher(backend: str) -> Launcher:
    """Its sessions raise SandboxUnavailable with the reason where the machine does not give the backend."""
    match backend:
        case "unsafe":
            return UnsafeLauncher()
        case "jail-namespaces":
            return JailLauncher(jail_config("namespaces"))
        case "jail-processes":
            return JailLauncher(JailConfig(tier="namespaces", processes=True))
        case "jail-landlock":
            return JailLauncher(jail_config("landlock"))
        case "docker":
            return DockerLauncher(DockerConfig())
    raise NotImplementedError(backend)


def jail_config(tier: Literal["namespaces", "landlock"]) -> JailConfig:
    if tier == "namespaces":
        return JailConfig(tier=tier)
    return JailConfig(tier=tier, python=_python_for_everybody())


def _python_for_everybody() -> str:
    """This interpreter, or the system's where root keeps this one from others."""
    own = Path(sys.executable).resolve()
    if os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in own.parents):
        return sys.executable
    return shutil.which("python3", path="/usr/bin") or sys.executable
