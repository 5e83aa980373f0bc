"""A persistent Python REPL in another process, which the host never trusts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from pydantic import Field

from palaestra.core.record import Record

HostFunction = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""What the host offers to cells under a name: a batch of texts in, as many texts out, in order.

Called from a cell with one text it gets a batch of one. One failed item is an answer that says so; an
exception fails the whole call and surfaces in the cell as an error. A `PalaestraError` is told with its text;
of any other only the type is, since its text may hold what the cell must not see, and the rest is logged.
"""


class CellLimits(Record):
    seconds: float = Field(default=60.0, gt=0)
    """Elapsed time of one cell, time spent in host functions not counted. Then the cell is interrupted and
    keeps its variables; if it does not end within a second, the process is killed."""
    total_seconds: float = Field(default=3600.0, gt=0)
    """The same, with the time spent in host functions."""
    memory_mb: int = Field(default=2048, ge=64)
    """Address space of the process."""
    processes: int = Field(default=64, ge=2)
    """Processes and threads of the session at once, the worker's own included. Not bounded by `unsafe`."""
    disk_mb: int = Field(default=256, ge=1)
    """Of the scratch folder, whose files are memory where the backend keeps them there. Not bounded by
    `unsafe`."""
    output_chars: int = Field(default=20_000, ge=100)
    """Of stdout, of stderr and of the value's repr each; head and tail are kept."""
    calls: int = Field(default=10_000, ge=0)
    """Texts that one cell may give to host functions; further calls fail."""
    session_calls: int = Field(default=1_000_000, ge=0)
    """The same, of all cells until the session ends."""
    call_mb: int = Field(default=1024, ge=1)
    """MiB of these texts of one cell."""
    text_mb: int = Field(default=256, ge=0)
    """MiB of the largest file, or millions of characters of the longest string, that `put` binds as a string,
    which takes up to four times as much memory. Above it there is a read-only `LongText`, which takes as much
    as the file."""
    snapshot_mb: int = Field(default=256, ge=1)
    """MiB of a snapshot; variables that do not fit are lost."""


class Variable(Record):
    name: str
    type: str
    size: int | None = None
    """`len()` where the value has one."""
    changed: bool = False
    """The cell bound it, or its size changed."""


class CellResult(Record):
    """What a cell did, as the sandbox claims. Text only."""

    status: Literal["ok", "error", "interrupted", "timeout", "died"]
    """error: the code raised; interrupted: it was stopped, and the variables are there; timeout and died: the
    process is gone and its variables with it."""
    stdout: str = ""
    stderr: str = ""
    value: str = ""
    """`repr` of a last expression that is not None."""
    error: str = ""
    """A short traceback of the cell's own lines."""
    variables: tuple[Variable, ...] = ()
    """What the session holds after the cell; the latest hundred."""
    seconds: float = 0.0
    truncated: bool = False


class Snapshot(Record):
    """Variables of a session as bytes, which only a sandbox may read: they can run any code."""

    data: bytes
    kept: tuple[str, ...]
    lost: dict[str, str]
    """Variables that could not be kept, with the reason."""


class Sandbox(Protocol):
    """One session. Variables persist from cell to cell. It does one thing at a time, and nothing between.

    Every method but `interrupt` and `close` raises `SandboxError` while another is under way, in another
    event loop than the session was started in, or when it was not started or was ended by a timeout, by the
    code itself, or for breaking the protocol.
    """

    async def start(self) -> None:
        """Start the process, or a new one after a timeout (which has lost its variables).

        Raises:
            SandboxUnavailable: this machine cannot give what the backend promises; says the way out.
        """
        ...

    async def run(self, code: str, *, seconds: float | None = None) -> CellResult:
        """Run one cell. Bad code is a result, never an exception; `seconds` replaces the session's own limit.

        Raises:
            SandboxError: the session is not running, or broke the protocol and was killed; or `seconds` are
                not more than 0.
        """
        ...

    async def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell that runs; nothing if none does.

        Does not wait for the cell, which ends with status `interrupted` unless it catches the exception.
        """
        ...

    async def put(self, name: str, text: str | Path) -> None:
        """Bind `name` to a string of any length, or to the text of a file in UTF-8.

        Raises:
            SandboxError: the name is a host function's or none of Python's, there is not enough memory for
                the text, or the file cannot be read.
        """
        ...

    async def put_file(self, name: str, path: Path) -> None:
        """Copy a file into the working directory of the session, read-only.

        Raises:
            SandboxError: `name` is no plain file name, the file is no regular one, or there is no room.
        """
        ...

    async def get(self, name: str) -> str | None:
        """`str()` of a variable, made inside the sandbox; None when it does not exist."""
        ...

    async def snapshot(self, leave_out: Collection[str] = ()) -> Snapshot:
        """The variables, functions, classes and modules of the session; files and threads cannot be kept.

        Long texts that were `put` are not in it, nor in what refers to them: put them again before `restore`.
        Variables to `leave_out` are in it only as far as others refer to them.

        Raises:
            SandboxError: the session is not running, or did not finish within `seconds` of its limits.
        """
        ...

    async def restore(self, snapshot: Snapshot) -> Mapping[str, str]:
        """Bind the variables of a snapshot, and give those that could not be, with the reason.

        Raises:
            SandboxError: as for `snapshot`.
        """
        ...

    async def close(self) -> None:
        """Kill the process and everything it started. Safe to call twice."""
        ...


class SandboxFactory(Protocol):
    def __call__(self, functions: Mapping[str, HostFunction]) -> Sandbox:
        """A session that is not started yet and may call these host functions."""
        ...
