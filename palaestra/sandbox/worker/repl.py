"""The REPL itself: cells, variables, and what is told about them."""

from __future__ import annotations

import ast
import builtins
import collections
import contextlib
import linecache
import os
import resource
import socket
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from palaestra.sandbox.worker.excerpt import Excerpt
from palaestra.sandbox.worker.host import Host
from palaestra.sandbox.worker.wire import MAX_BODY_FROM_SANDBOX, Frame, Kind

CELL = "<cell "
"""How the file names of cells begin."""
SHOWN_FRAMES = 20
SHOWN_VARIABLES = 100
SHOWN_NAME = 60
"""Characters of a variable's name and of its type's; so many of them fit into one header."""


class Outcome(NamedTuple):
    status: str
    """ok, error or missing."""
    text: str = ""


class Repl:
    """A session: one namespace in which cells run one after another.

    The names of the host's functions and of Python's builtins are put back after every cell, and standard
    output and error are opened anew for each.
    """

    def __init__(self, functions: Sequence[str], host: Host) -> None:
        session = types.ModuleType("__main__")
        sys.modules["__main__"] = session  # dataclasses and pickle look up a cell's classes there
        self._names = session.__dict__
        self._functions = {name: _as_function(name, host) for name in functions}
        self._names.update(self._functions)
        self._live_builtins = vars(builtins)
        self._builtins = self._live_builtins.copy()
        self._cells = 0

    def execute(self, source: str) -> Outcome:
        """Run one cell; the text is the repr of a last expression that is not None, or the error."""
        self._cells += 1
        try:
            with _fresh_outputs():
                try:
                    value = self._evaluate(source, f"{CELL}{self._cells}>")
                finally:
                    self._live_builtins.update(self._builtins)
                    self._names.update(self._functions)
                return Outcome("ok", "" if value is None else repr(value))
        except BaseException as error:  # noqa: BLE001 - a cell may raise anything, SystemExit included
            return Outcome("error", describe(error))

    def _evaluate(self, source: str, name: str) -> object:
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        last: ast.expr = ast.Constant(None, lineno=1, col_offset=0)
        if tree.body and isinstance(end := tree.body[-1], ast.Expr):
            del tree.body[-1]
            last = end.value
        body = compile(tree, name, "exec", dont_inherit=True)
        value = compile(ast.Expression(last), name, "eval", dont_inherit=True)
        run, evaluate = exec, eval  # the cell may put other builtins in their place
        run(body, self._names)
        return evaluate(value, self._names)

    def load(self, name: str, pieces: Iterator[bytes | bytearray]) -> Outcome:
        """Bind a text that comes in pieces. All of them are taken, even when there is no memory for them."""
        try:
            self._names[name] = "".join(map(_decode, pieces))
        except MemoryError:
            collections.deque(pieces, maxlen=0)
            return Outcome("error", "there is not enough memory")
        return Outcome("ok")

    def read(self, name: str) -> Outcome:
        """`str()` of a variable."""
        if name not in self._names:
            return Outcome("missing")
        try:
            text = str(self._names[name])
        except BaseException as error:  # noqa: BLE001 - a cell's class may do anything in its __str__
            return Outcome("error", describe(error))
        if len(text.encode(errors="replace")) > MAX_BODY_FROM_SANDBOX:
            return Outcome("error", f"it has {len(text)} characters, too many to hand out")
        return Outcome("ok", text)

    def variables(self) -> list[dict[str, str | int | None]]:
        """The latest names, without modules, host functions and names that begin with an underscore."""
        listed = [
            {"name": name[:SHOWN_NAME], "type": type(value).__name__[:SHOWN_NAME], "size": _size(value)}
            for name, value in tuple(self._names.items())
            if isinstance(name, str)
            and not name.startswith("_")
            and not issubclass(type(value), types.ModuleType)
            and value is not self._functions.get(name)
        ]
        return listed[-SHOWN_VARIABLES:]


def _decode(text: bytes | bytearray) -> str:
    return text.decode(errors="replace")


def _size(value: object) -> int | None:
    try:
        return len(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - many things have no length, and a cell's class may raise anything
        return None


def _as_function(name: str, host: Host) -> Callable[[str | Sequence[str]], str | list[str]]:
    def function(texts: str | Sequence[str], /) -> str | list[str]:
        if isinstance(texts, str):
            return host.call(name, [texts])[0]
        batch = list(texts) if isinstance(texts, Iterable) else [texts]
        if not all(isinstance(text, str) for text in batch):
            raise TypeError(f"{name} takes one string or a list of strings")
        return host.call(name, batch)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name}(text) gives a text; {name}([text, ...]) gives as many, in order."
    return function


@contextlib.contextmanager
def _fresh_outputs() -> Iterator[None]:
    """Standard output and error as a cell expects them, whatever an earlier one did to `sys`."""
    # They are not closed afterwards: a thread that the cell leaves behind may still print.
    outputs = [open(number, "w", 1, "utf-8", "replace", closefd=False) for number in (1, 2)]  # noqa: SIM115
    sys.stdout, sys.stderr = outputs
    try:
        yield
    finally:
        for output in outputs:
            with contextlib.suppress(OSError, ValueError):  # the cell closed it
                output.flush()


def describe(error: BaseException) -> str:
    """A short traceback: the innermost frames that are a cell's own, and the error."""
    frames = (
        frame
        for frame in traceback.walk_tb(error.__traceback__)
        if frame[0].f_code.co_filename.startswith(CELL)
    )
    shown = traceback.StackSummary.extract(iter(collections.deque(frames, maxlen=SHOWN_FRAMES)))
    heading = ["Traceback (most recent call last):\n"] if shown else []
    return "".join([*heading, *shown.format(), *traceback.format_exception_only(error)]).rstrip()


def serve(descriptor: int) -> None:
    """Answer the host on this descriptor until it closes the channel."""
    host = Host(socket.socket(fileno=descriptor))
    hello = host.requests.get().header
    host.scratch = hello["scratch"]
    address_space = hello["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    repl = Repl(hello["functions"], host)
    most_characters = min(hello["output_chars"], MAX_BODY_FROM_SANDBOX // 4)
    process = os.getpid()
    host.send(Kind.READY, {})
    while True:
        request = host.requests.get()
        cell = request.header["cell"]
        host.begin(cell)
        outcome = _perform(request, repl, host)
        if os.getpid() != process:
            os._exit(0)  # a cell forked, and this is the child
        excerpt = Excerpt(len(outcome.text) if request.kind is Kind.GET else most_characters)
        excerpt.add(outcome.text)
        header = {
            "cell": cell,
            "status": outcome.status,
            "truncated": excerpt.truncated,
            "variables": repl.variables(),
        }
        host.done(header, excerpt.text().encode(errors="replace"))


def _perform(request: Frame, repl: Repl, host: Host) -> Outcome:
    if request.kind is Kind.EXEC:
        return repl.execute(_decode(request.body))
    if request.kind is Kind.GET:
        return repl.read(request.header["name"])
    pieces = range(request.header["pieces"])
    return repl.load(request.header["name"], (host.requests.get().body for _ in pieces))
