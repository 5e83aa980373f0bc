"""From a backend's name to sessions."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.sandbox.base import CellLimits, HostFunction, Sandbox, SandboxFactory
from palaestra.sandbox.process import ProcessSandbox

logger = logging.getLogger(__name__)

BACKENDS: Mapping[str, Callable[[CellLimits, Mapping[str, HostFunction]], Sandbox]] = {
    "process": ProcessSandbox
}


class SandboxConfig(Record):
    backend: str = "process"
    """`process`: a process of its own, bounded in time, memory and output, but with the user's rights."""
    limits: CellLimits = CellLimits()


def sandbox_factory(config: SandboxConfig) -> SandboxFactory:
    """
    Raises:
        ConfigError: there is no such backend.
    """
    if config.backend not in BACKENDS:
        raise ConfigError(
            f"there is no sandbox backend {config.backend!r}; choose one of {', '.join(sorted(BACKENDS))}"
        )
    if config.backend == "process":
        _warn_once()
    return functools.partial(BACKENDS[config.backend], config.limits)


@functools.cache
def _warn_once() -> None:
    logger.warning(
        "warning: the sandbox backend 'process' does not isolate: code that a model writes runs "
        "with your rights and can reach your files and the network"
    )
