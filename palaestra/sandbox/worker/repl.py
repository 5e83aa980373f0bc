"""The REPL itself: cells, variables, and what is told about them."""

from __future__ import annotations

import builtins
import codecs
import collections
import contextlib
import linecache
import os
import resource
import sys
import traceback
import types
from _ast import Expr, Expression, Module, PyCF_ONLY_AST
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from palaestra.sandbox.worker.excerpt import Excerpt
from palaestra.sandbox.worker.host import Host, HostError
from palaestra.sandbox.worker.snapshot import WITHHELD, Snapshots
from palaestra.sandbox.worker.text import ADVICE, LongText
from palaestra.sandbox.worker.wire import MAX_BODY_FROM_SANDBOX, MAX_VARIABLES, PIECE, Frame, Kind

CELL = "<cell "
"""How the file names of cells begin."""
SHOWN_FRAMES = 20
SHOWN_NAME = 50
"""Characters of a variable's name and of its type's; so many of them fit into one header."""
SMALL_TEXT = 4096
"""Characters of a text that a snapshot holds itself, although the host gave it."""


class Outcome(NamedTuple):
    status: str
    """ok, error, interrupted or missing."""
    text: str = ""
    data: bytes = b""


class Repl:
    """A session: one namespace in which cells run one after another.

    The names of the host's functions and of Python's builtins, standard output and error are put back for
    every cell.
    """

    def __init__(self, hello: dict[str, Any], host: Host) -> None:
        session = types.ModuleType("__main__")
        sys.modules["__main__"] = session  # dataclasses and pickle look up a cell's classes there
        self._names = session.__dict__
        self._functions = {name: _as_function(name, host, hello["calls"]) for name in hello["functions"]}
        self._names.update(self._functions)
        self._live_builtins = vars(builtins)
        self._builtins = self._live_builtins.copy()
        self._outputs = Outputs()
        self._host = host
        self._hello = hello
        self._scratch = os.getcwd()
        self._snapshots = Snapshots(self._names, hello["cloudpickle"])
        self._given: dict[str, str | LongText] = {}
        """The long texts that the host has bound, while they are bound."""
        self._seen: dict[str, tuple[int, int | None]] = {}
        """Identity and size of each variable after the operation before."""
        self._cells = 0

    def perform(self, request: Frame, pieces: Iterator[bytes]) -> Outcome:
        """Do one operation; whatever it raises is its outcome."""
        header = request.header
        try:
            match request.kind:
                case Kind.EXEC:
                    return self._execute(request.body.decode(errors="replace"))
                case Kind.LOAD:
                    return self._load(header["name"], header["long"], pieces)
                case Kind.FILE:
                    return self._write(header["name"], pieces)
                case Kind.GET:
                    return self._read(header["name"])
                case Kind.SNAPSHOT:
                    return self._snapshot(header["leave_out"])
                case _:
                    return self._restore(b"".join(pieces))
        except BaseException as error:  # noqa: BLE001 - a cell may raise anything, SystemExit included
            interrupted = isinstance(error, KeyboardInterrupt) and self._host.interrupted
            return Outcome("interrupted" if interrupted else "error", describe(error))

    def variables(self) -> list[dict[str, str | int | bool | None]]:
        """The variables, without modules, host functions and names that begin with an underscore.

        Those are changed that were bound, or became longer or shorter, in the operation just done.
        """
        listed: list[dict[str, str | int | bool | None]] = []
        seen = {}
        for name, value in self._own():
            if name.startswith("_") or issubclass(type(value), types.ModuleType):
                continue
            size = _size(value)
            seen[name] = (id(value), size)
            shown = {"name": name[:SHOWN_NAME], "type": type(value).__name__[:SHOWN_NAME], "size": size}
            listed.append({**shown, "changed": self._seen.get(name) != seen[name]})
        self._seen = seen
        self._given = {name: text for name, text in self._given.items() if self._names.get(name) is text}
        if len(listed) > MAX_VARIABLES:
            listed.sort(key=lambda variable: bool(variable["changed"]))
        return listed[-MAX_VARIABLES:]

    def _own(self) -> list[tuple[str, object]]:
        return [
            (name, value)
            for name, value in tuple(self._names.items())
            if isinstance(name, str)
            and name.isidentifier()
            and name not in WITHHELD
            and value is not self._functions.get(name)
        ]

    def _execute(self, source: str) -> Outcome:
        """Run one cell; the text is the repr of a last expression that is not None."""
        self._cells += 1
        name = f"{CELL}{self._cells}>"
        with self._outputs:
            try:
                return Outcome("ok", self._host.interruptible(lambda: self._evaluate(source, name)))
            finally:
                self._live_builtins.update(self._builtins)
                self._names.update(self._functions)

    def _evaluate(self, source: str, name: str) -> str:
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = compile(source, name, "exec", PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, Module)
        result: types.CodeType | None = None
        if tree.body and isinstance(last := tree.body[-1], Expr):
            del tree.body[-1]
            result = compile(Expression(last.value), name, "eval", dont_inherit=True)
        body = compile(tree, name, "exec", dont_inherit=True) if tree.body else None
        evaluate, show = eval, repr  # the cell may put other builtins in their place
        if body:
            evaluate(body, self._names)
        value = evaluate(result, self._names) if result else None
        return "" if value is None else show(value)

    def _load(self, name: str, long: bool, pieces: Iterator[bytes]) -> Outcome:
        text = _as_view(pieces) if long else _as_string(pieces)
        self._names[name] = text
        self._given.pop(name, None)
        if len(text) > SMALL_TEXT:
            self._given[name] = text
        return Outcome("ok")

    def _write(self, name: str, pieces: Iterator[bytes]) -> Outcome:
        path = os.path.join(self._scratch, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        with open(descriptor, "wb", buffering=0) as file:
            try:
                for piece in pieces:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(0)  # what there is of it takes room, also where files cannot be removed
                with contextlib.suppress(OSError):
                    os.unlink(path)
                raise
        return Outcome("ok")

    def _read(self, name: str) -> Outcome:
        """`str()` of a variable."""
        if name not in self._names:
            return Outcome("missing")
        text = self._host.interruptible(lambda: str(self._names[name]))
        if len(text.encode(errors="replace")) > MAX_BODY_FROM_SANDBOX:
            return Outcome("error", f"it has {len(text)} characters, too many to hand out")
        return Outcome("ok", text)

    def _snapshot(self, leave_out: list[str]) -> Outcome:
        names = [name for name, _ in self._own() if name not in leave_out]
        most_bytes = self._hello["snapshot_mb"] << 20
        taken = self._host.interruptible(lambda: self._snapshots.take(names, self._fixed(), most_bytes))
        return Outcome("ok", _as_lines({**dict.fromkeys(names, ""), **taken.lost}), taken.data)

    def _restore(self, data: bytes) -> Outcome:
        lost = self._host.interruptible(lambda: self._snapshots.bring_back(data, self._fixed()))
        self._names.update(self._functions)
        self._cells = max(self._cells, sum(name.startswith(CELL) for name in linecache.cache))
        return Outcome("ok", _as_lines(lost))

    def _fixed(self) -> dict[str, object]:
        functions = {f"the function {name}": function for name, function in self._functions.items()}
        texts = {f"the text {name}": text for name, text in self._given.items()}
        return {**functions, **texts, "the type of long texts": LongText}


def _as_view(pieces: Iterator[bytes]) -> LongText:
    data = bytearray()
    for piece in pieces:
        data += piece
    return LongText(data)


def _as_string(pieces: Iterator[bytes]) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = ""
    for piece in pieces:
        text += decoder.decode(piece)  # extends the string in its place, so that there is never a second one
    text += decoder.decode(b"", final=True)
    return text


def _as_lines(reasons: dict[str, str]) -> str:
    return "\n".join(f"{name}\t{reason}" for name, reason in reasons.items())


def _size(value: object) -> int | None:
    try:
        return len(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - many things have no length, and a cell's class may raise anything
        return None


def _as_function(name: str, host: Host, most: int) -> Callable[[str | Sequence[str]], str | list[str]]:
    def function(texts: str | Sequence[str], /) -> str | list[str]:
        if isinstance(texts, str):
            return host.call(name, [texts])[0]
        batch = list(texts) if isinstance(texts, Iterable) else [texts]
        if not all(isinstance(text, str) for text in batch):
            raise TypeError(f"{name} takes one string or a list of strings")
        if len(batch) > most:  # before the host has served a part of it
            raise HostError(f"a cell may give {most} texts to functions (sandbox.limits.calls)")
        return host.call(name, batch)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{name}(text) gives a text; {name}([text, ...]) gives as many, in order."
    return function


class Outputs:
    """Standard output and error as a cell expects them, whatever an earlier one did to `sys`."""

    def __init__(self) -> None:
        self._open()

    def __enter__(self) -> None:
        try:
            good = not (self.out.closed or self.err.closed)
        except ValueError:  # a cell detached what is beneath
            good = False
        if not good:
            self._open()
        sys.stdout, sys.stderr = self.out, self.err

    def __exit__(self, *_: object) -> None:
        for output in (self.out, self.err):
            with contextlib.suppress(OSError, ValueError):  # the cell closed it
                output.flush()

    def _open(self) -> None:
        # Not closed, ever: a thread that a cell leaves behind may still print.
        self.out = open(1, "w", 1, "utf-8", "replace", closefd=False)  # noqa: SIM115
        self.err = open(2, "w", 1, "utf-8", "replace", closefd=False)  # noqa: SIM115


def describe(error: BaseException) -> str:
    """A short traceback: the innermost frames that are a cell's own, and the error."""
    frames = (
        frame
        for frame in traceback.walk_tb(error.__traceback__)
        if frame[0].f_code.co_filename.startswith(CELL)
    )
    shown = traceback.StackSummary.extract(iter(collections.deque(frames, maxlen=SHOWN_FRAMES)))
    heading = ["Traceback (most recent call last):\n"] if shown else []
    last = "".join(traceback.format_exception_only(error))
    if isinstance(error, TypeError) and LongText.__name__ in last:
        last += f"{ADVICE}\n"
    return "".join([*heading, *shown.format(), last]).rstrip()


def serve(channel: int, answers: int) -> None:
    """Do what the host asks for on the channel, until it closes one of these descriptors."""
    host = Host(channel, answers)
    hello = host.take().header
    host.scratch = hello["scratch"]
    address_space = hello["memory_mb"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    core = resource.getrlimit(resource.RLIMIT_CORE)[1] and 1  # 0 would still start a program that takes dumps
    resource.setrlimit(resource.RLIMIT_CORE, (core, core))
    repl = Repl(hello, host)
    process = os.getpid()
    host.send(Kind.READY, {})
    while True:
        request = host.take()
        cell = request.header["cell"]
        pieces = host.pieces(request.kind)
        outcome = repl.perform(request, pieces)
        if os.getpid() != process:
            os._exit(0)  # a cell forked, and this is the child
        collections.deque(pieces, maxlen=0)  # what an operation that failed has not taken
        for start in range(0, len(outcome.data), PIECE):
            host.send(Kind.DATA, {"cell": cell}, outcome.data[start : start + PIECE])
        most_characters = hello["output_chars"] if request.kind is Kind.EXEC else len(outcome.text)
        excerpt = Excerpt(min(most_characters, MAX_BODY_FROM_SANDBOX))
        excerpt.add(outcome.text)
        header = {
            "cell": cell,
            "status": outcome.status,
            "truncated": excerpt.truncated,
            "variables": _variables(repl, host),
        }
        host.done(header, excerpt.text().encode(errors="replace"))


def _variables(repl: Repl, host: Host) -> list[dict[str, str | int | bool | None]]:
    try:
        return host.interruptible(repl.variables)
    except BaseException:  # noqa: BLE001 - a cell's class may do anything in its __len__
        return []
