"""What this machine gives to the jail: found out by locking up a process that does nothing."""

from __future__ import annotations

import platform
from contextlib import closing
from pathlib import Path

from palaestra.core.record import Record
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.kernel import landlock
from palaestra.sandbox.jail.launcher import TIERS, new_zygote
from palaestra.sandbox.jail.zygote import CannotIsolate

SETTINGS = (
    "kernel/unprivileged_userns_clone",
    "kernel/apparmor_restrict_unprivileged_userns",
    "user/max_user_namespaces",
)
"""Of the kernel, below /proc/sys, that decide whether ordinary users can make user namespaces."""


class Probe(Record):
    """What each layer gives."""

    tiers: dict[str, str]
    """By name: empty when sessions can be started, or what is missing for it."""
    kernel: dict[str, str]
    """What the kernel has, and those of its settings that decide about the tiers."""


def probe(config: JailConfig) -> Probe:
    tiers = {}
    for tier in TIERS:
        try:
            zygote = new_zygote(config, tier)
            with closing(zygote):
                zygote.start()
                zygote.try_out()
        except (CannotIsolate, OSError) as error:
            tiers[tier] = str(error)
        else:
            tiers[tier] = ""
    return Probe(tiers=tiers, kernel={"release": platform.release(), "landlock": _landlock(), **_settings()})


def _landlock() -> str:
    try:
        return f"version {landlock.version()}"
    except OSError as error:
        return f"none ({error.strerror})"


def _settings() -> dict[str, str]:
    files = {name: Path("/proc/sys", name) for name in SETTINGS}
    return {name.partition("/")[2]: file.read_text().strip() for name, file in files.items() if file.exists()}
