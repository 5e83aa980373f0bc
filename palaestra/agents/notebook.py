"""A sandbox as agents use it: with the task's context in it, and alive again after a cell has killed it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from pathlib import Path

from palaestra.agents.material import Material, parts_of
from palaestra.core.errors import SandboxError
from palaestra.core.task import ContextFile
from palaestra.sandbox.base import CellResult, Sandbox, Snapshot

CUT = """
def _cut(text, layout):
    import itertools, json
    lengths, keys = json.loads(layout)
    ends = list(itertools.accumulate(lengths, initial=0))
    parts = [text[begin:end] for begin, end in itertools.pairwise(ends)]
    return parts if keys is None else dict(zip(keys, parts))
context = _cut(context, _layout)
del _cut, _layout
"""
"""Makes of one text the several that it was joined of."""
CONTEXT = "context"
"""The variable that holds the task's context; empty when the task has none."""


class Notebook:
    """Runs cells in a session that is started when it is first needed, and again when a cell has ended it."""

    def __init__(self, sandbox: Sandbox, context: Material, setup: str = "") -> None:
        """`setup` is a cell that runs at every start, after the context was loaded."""
        self.is_running = False
        self._sandbox = sandbox
        self._context = context
        self._setup = setup
        self._variables: Snapshot | None = None
        self._has_begun = False
        self._turn = asyncio.Lock()
        self._news = ""

    async def run(self, code: str) -> CellResult:
        """A cell's result. What became of the session meanwhile is told in its `stderr`.

        Raises:
            SandboxError: no session can be had.
        """
        async with self._turn:
            return await self._run(code)

    async def _run(self, code: str) -> CellResult:
        if not self.is_running:
            await self._start()
        result = await self._sandbox.run(code)
        if result.status in ("timeout", "died"):
            self.is_running = False
            await self._start()
        if self._news:
            result = result.model_copy(update={"stderr": f"{result.stderr}\n{self._news}".strip()})
            self._news = ""
        return result

    async def get(self, name: str) -> str | None:
        return await self._sandbox.get(name)

    async def snapshot(self, leave_out: Collection[str] = ()) -> Snapshot:
        """The session's variables, as they will be there when it has to be started again."""
        self._variables = await self._sandbox.snapshot(leave_out=(CONTEXT, *leave_out))
        return self._variables

    def recall(self, variables: Snapshot) -> None:
        """Have the session begin with variables of an earlier one."""
        self._variables = variables

    async def restart(self) -> str:
        """End the session and start another one. What became of the variables."""
        await self.close()
        await self._start()
        news, self._news = self._news, ""
        return news

    async def close(self) -> None:
        self.is_running = False
        await self._sandbox.close()

    async def _start(self) -> None:
        await self._sandbox.start()
        await self._load()
        result = await self._sandbox.run(self._setup)
        if result.status != "ok":
            raise SandboxError(f"a new session cannot be set up: {result.error}; raise sandbox.limits")
        self.is_running = True
        lost: dict[str, str] = {}
        if self._variables is not None:
            lost |= self._variables.lost | dict(await self._sandbox.restore(self._variables))
        self._news = self._tell_of_start(lost)
        self._has_begun = True

    def _tell_of_start(self, lost: Mapping[str, str]) -> str:
        sentences = []
        if self._has_begun:
            kept = "as they were before this turn" if self._variables else f"gone, {CONTEXT} is there"
            sentences.append(f"The session was started again: its variables are {kept}.")
        if named := "; ".join(f"{name} ({why})" for name, why in lost.items()):
            sentences.append(f"These variables could not be kept: {named}.")
        return " ".join(sentences)

    async def _load(self) -> None:
        """Bind the context: a text or file as it is, several texts by where they begin and end in one."""
        context = self._context
        if isinstance(context, str | ContextFile):
            await self._sandbox.put(CONTEXT, context if isinstance(context, str) else Path(context.path))
            return
        parts = parts_of(context)
        await self._sandbox.put(CONTEXT, "".join(parts))
        keys = list(context) if isinstance(context, Mapping) else None
        await self._sandbox.put("_layout", json.dumps([list(map(len, parts)), keys]))
        result = await self._sandbox.run(CUT)
        if result.status != "ok":
            raise SandboxError(f"the context cannot be set up: {result.error}; raise sandbox.limits")


def describe(result: CellResult, hidden: Collection[str] = ()) -> str:
    """What a model is told of a cell: output, value or error, and the variables that there are now."""
    parts = [
        result.stdout.rstrip("\n"),
        f"[stderr]\n{result.stderr.rstrip()}" if result.stderr else "",
        f"[value] {result.value}" if result.value else "",
        f"[error] {result.error}" if result.error else "",
    ]
    text = "\n".join(part for part in parts if part) or "(no output)"
    variables = ", ".join(
        f"{variable.name} ({variable.type})"
        if variable.size is None
        else f"{variable.name} ({variable.type} of {variable.size})"
        for variable in result.variables
        if variable.name not in hidden
    )
    return f"{text}\n[variables] {variables}" if variables else text
