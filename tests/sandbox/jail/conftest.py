"""Sessions in each tier of the jail."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

import pytest

from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.launcher import JailLauncher


@pytest.fixture(params=["namespaces", "landlock"])
def tier(request: pytest.FixtureRequest) -> Literal["namespaces", "landlock"]:
    name: Literal["namespaces", "landlock"] = request.param
    return name


@pytest.fixture(scope="session")
def python() -> str:
    """This interpreter; the system's, where root has this one for itself."""
    folders = Path(sys.executable).resolve().parents
    readable = os.geteuid() != 0 or all(folder.stat().st_mode & 0o001 for folder in folders)
    return sys.executable if readable else "/usr/bin/python3"


@pytest.fixture
def launcher(tier: Literal["namespaces", "landlock"], python: str) -> JailLauncher:
    return JailLauncher(JailConfig(tier=tier, python=python))
