"""What an attack is: a title, and a coroutine that tells from the host's side whether it got through."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

import pytest

from palaestra.sandbox.base import CellLimits, CellResult, HostFunction
from palaestra.sandbox.launcher import Launcher
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks import watch
from tests.attacks.posture import check_descriptors, check_posture

OnUnsafe = Literal["gets through", "stopped", "not tried"]

TOOLS = """
import ctypes, errno, os, re, signal, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

def works(action, *arguments):
    try:
        action(*arguments)
    except (OSError, ValueError, AttributeError):
        return False
    return True
"""
"""In the namespace of every session before the attack: what an attacker would write anyway."""


@dataclass
class Target:
    """One backend, and an outside world which only the sandbox protects."""

    backend: str
    launcher: Launcher
    folder: Path
    """Anybody may write here."""
    secret: str = field(default_factory=watch.new_secret)

    @property
    def isolated(self) -> bool:
        return self.backend != "unsafe"

    @functools.cached_property
    def canary(self) -> Path:
        """A file with the secret, which anybody may read and write."""
        canary = self.folder / "canary"
        canary.write_text(self.secret)
        canary.chmod(0o666)
        return canary

    @asynccontextmanager
    async def session(
        self, functions: Mapping[str, HostFunction] | None = None, **limits: float
    ) -> AsyncIterator[WorkerSandbox]:
        """A running session, with its posture checked from outside before and after the attack."""
        sandbox = self.new(functions, **limits)
        await sandbox.start()
        try:
            await sandbox.run(TOOLS)
            worker = await worker_of(sandbox)
            if self.isolated:
                check_descriptors(worker)
                check_posture(worker, self.backend)
            yield sandbox
            if self.isolated and watch.is_running(worker):
                check_posture(worker, self.backend)
        finally:
            await sandbox.close()

    def new(self, functions: Mapping[str, HostFunction] | None = None, **limits: float) -> WorkerSandbox:
        chosen = CellLimits.model_validate({"seconds": 60, "memory_mb": 512, **limits})
        return WorkerSandbox(self.launcher, chosen, functions or {})

    async def run(self, code: str, **limits: int) -> CellResult:
        """One cell in a session of its own."""
        async with self.session(None, **limits) as sandbox:
            return await sandbox.run(code)

    def leaked(self, result: CellResult) -> bool:
        return self.secret in result.model_dump_json()


async def worker_of(sandbox: WorkerSandbox) -> int:
    """The process that runs the cells, by the number that the host knows it by."""
    name = os.urandom(7).hex()
    await sandbox.run(f"libc.prctl(15, {name.encode()!r}, 0, 0, 0)")  # PR_SET_NAME
    (worker,) = (process.pid for process in watch.processes().values() if process.name == name)
    return worker


def attack(
    number: int | str,
    title: str,
    *,
    on_unsafe: OnUnsafe = "gets through",
    known: Mapping[str, str] | None = None,
) -> Callable[[Callable[..., Awaitable[bool]]], Callable[..., None]]:
    """Make a test, for every backend, of a coroutine that returns whether the attack got through.

    It must on `unsafe`, which shows that the attack is one (`on_unsafe`: what happens there instead, because
    the host itself stops it, or because it would harm), and must not elsewhere, except on the backends in
    `known`, with the reason.
    """

    def decorate(body: Callable[..., Awaitable[bool]]) -> Callable[..., None]:
        @pytest.mark.attack(number, title, on_unsafe, known or {})
        @functools.wraps(body)
        def test(target: Target, **more: object) -> None:
            got_through = asyncio.run(_awaited(body(target=target, **more)))
            if target.backend in (known or {}) or (
                target.backend == "unsafe" and on_unsafe == "gets through"
            ):
                assert got_through, "the attack does not work: it proves nothing about the other backends"
            else:
                assert not got_through, "the attack got through"

        return cast(Callable[..., None], test)

    return decorate


async def _awaited(body: Awaitable[bool]) -> bool:
    return await body
