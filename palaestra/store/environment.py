"""What a run was made with."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from palaestra.core.record import Record

PACKAGES = (
    "palaestra",
    "evalica",
    "langgraph",
    "litellm",
    "networkx",
    "numpy",
    "peft",
    "pydantic",
    "sqlalchemy",
    "torch",
    "transformers",
    "vllm",
)


class Environment(Record):
    """Stored beside the configuration when a run is made."""

    run: str
    """The run's id."""
    verb: str
    python: str
    platform: str
    packages: Mapping[str, str]
    """Versions of those that are installed."""
    commit: str | None
    """Of the checkout that Palaestra's code is in; None when it is installed otherwise."""
    dirty: bool | None
    """Whether that checkout has changes that are not committed."""
    argv: tuple[str, ...]

    @classmethod
    def of_this_process(cls, run: str, verb: str) -> Environment:
        checkout = Path(__file__).parents[2]
        changes = _git(checkout, "status", "--porcelain")
        return cls(
            run=run,
            verb=verb,
            python=platform.python_version(),
            platform=platform.platform(),
            packages=installed(PACKAGES),
            commit=_git(checkout, "rev-parse", "HEAD"),
            dirty=None if changes is None else bool(changes),
            argv=tuple(sys.argv),
        )


def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of those packages that are installed, without importing any."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(checkout: Path, *command: str) -> str | None:
    """What git says of a checkout; None without git, and when `checkout` is not the root of one."""
    if not (checkout / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", checkout, *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
