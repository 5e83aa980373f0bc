"""A persistent Python REPL in another process, which the host never trusts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

from pydantic import Field

from palaestra.core.record import Record

HostFunction = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""What the host offers to cells under a name: a batch of texts in, as many texts out, in order.

Called from a cell with one text it gets a batch of one. One failed item is an answer that says so; an
exception fails the whole call and surfaces in the cell as an error with its text.
"""


class CellLimits(Record):
    seconds: float = Field(default=60.0, gt=0)
    """Elapsed time of one cell, time spent in host functions not counted; then the process is killed."""
    memory_mb: int = Field(default=2048, ge=64)
    """Address space of the process."""
    output_chars: int = Field(default=20_000, ge=100)
    """Of stdout, of stderr and of the value's repr each; head and tail are kept."""


class Variable(Record):
    name: str
    type: str
    size: int | None = None
    """`len()` where the value has one."""


class CellResult(Record):
    """What a cell did, as the sandbox claims. Text only."""

    status: Literal["ok", "error", "timeout", "died"]
    """error: the code raised; timeout and died: the process is gone and its variables with it."""
    stdout: str = ""
    stderr: str = ""
    value: str = ""
    """`repr` of a last expression that is not None."""
    error: str = ""
    """A short traceback of the cell's own lines."""
    variables: tuple[Variable, ...] = ()
    """The names that the session holds after the cell."""
    seconds: float = 0.0
    truncated: bool = False


class Sandbox(Protocol):
    """One session. Variables persist from cell to cell; a session serves one cell at a time."""

    async def start(self) -> None:
        """Start the process, or a new one after a timeout (which has lost its variables).

        Raises:
            SandboxUnavailable: this machine cannot give what the backend promises; says the way out.
        """
        ...

    async def run(self, code: str, *, seconds: float | None = None) -> CellResult:
        """Run one cell. Bad code is a result, never an exception; `seconds` replaces the session's own limit.

        Raises:
            SandboxError: the session was not started, or broke the protocol and was killed.
        """
        ...

    async def put(self, name: str, text: str) -> None:
        """Bind `name` to a string of any length."""
        ...

    async def get(self, name: str) -> str | None:
        """`str()` of a variable, made inside the sandbox; None when it does not exist."""
        ...

    async def close(self) -> None:
        """Kill the process and everything it started. Safe to call twice."""
        ...


class SandboxFactory(Protocol):
    def __call__(self, functions: Mapping[str, HostFunction]) -> Sandbox:
        """A session that is not started yet and may call these host functions."""
        ...
