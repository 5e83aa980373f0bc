"""A sandbox as agents use it: with the task's context in it, and alive again after a cell has killed it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from palaestra.core.errors import DataError, SandboxError
from palaestra.core.task import ContextFile, Task
from palaestra.sandbox.base import CellResult, Sandbox

CONTEXT = "context"
"""The variable that holds the task's context; empty when the task has none."""


def read_context(task: Task) -> str:
    """The task's context as text.

    Raises:
        DataError: its file cannot be read, or is not the one that the task was made with.
    """
    if not isinstance(task.context, ContextFile):
        return task.context or ""
    try:
        data = Path(task.context.path).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the context {task.context.path}: {error.strerror}; put it back"
        ) from error
    if hashlib.sha256(data).hexdigest() != task.context.sha256:
        raise DataError(f"{task.context.path} has changed since the task was made; start a new run")
    return data.decode(errors="replace")


class Notebook:
    """Runs cells in a session that is started when it is first needed, and again when a cell has ended it."""

    def __init__(self, sandbox: Sandbox, context: str, setup: str = "") -> None:
        """`setup` is a cell that runs at every start, after the context was loaded."""
        self._sandbox = sandbox
        self._context = context
        self._setup = setup
        self._running = False

    async def run(self, code: str) -> CellResult:
        """
        Raises:
            SandboxError: no session can be had.
        """
        if not self._running:
            await self._start()
        result = await self._sandbox.run(code)
        self._running = result.status in ("ok", "error")
        return result

    async def get(self, name: str) -> str | None:
        return await self._sandbox.get(name)

    async def close(self) -> None:
        self._running = False
        await self._sandbox.close()

    async def _start(self) -> None:
        await self._sandbox.start()
        await self._sandbox.put(CONTEXT, self._context)
        result = await self._sandbox.run(self._setup)
        if result.status != "ok":
            raise SandboxError(f"a new session cannot be set up: {result.error}; raise sandbox.limits")
        self._running = True


def describe(result: CellResult, hidden: Collection[str] = ()) -> str:
    """What a model is told of a cell: output, value or error, and the variables that there are now."""
    parts = [
        result.stdout.rstrip("\n"),
        f"[stderr]\n{result.stderr.rstrip()}" if result.stderr else "",
        f"[value] {result.value}" if result.value else "",
        f"[error] {result.error}" if result.error else "",
    ]
    text = "\n".join(part for part in parts if part) or "(no output)"
    if result.status in ("timeout", "died"):
        return f"{text}\nThe session was started again: its variables are gone, {CONTEXT} is there."
    variables = ", ".join(
        f"{variable.name} ({variable.type})"
        if variable.size is None
        else f"{variable.name} ({variable.type} of {variable.size})"
        for variable in result.variables
        if variable.name not in hidden
    )
    return f"{text}\n[variables] {variables}" if variables else text
