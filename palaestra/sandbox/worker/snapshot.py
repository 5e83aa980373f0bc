"""Variables as bytes, and back: pickled and unpickled here, inside the sandbox, and nowhere else.

The data are the length of an index (8 bytes), the index (JSON: names with the place where each one's pickle
ends, the names of what the host has put in, and the latest sources of cells), and one pickle per variable.
The pickles share one memo, so that what variables had in common they have in common again. Protocol 3 numbers
the entries of the memo explicitly: where one pickle cannot be read, the others can, unless they need a thing
that only that one held.
"""

from __future__ import annotations

import functools
import io
import json
import linecache
import pickle
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any, NamedTuple

PROTOCOL = 3
SOURCES = 1 << 20
"""Characters of cells that are kept, for tracebacks."""
REASON = 200
"""Characters of a reason at most."""
WITHHELD = {*vars(types.ModuleType("")), "__annotations__", "__builtins__", "__file__", "__warningregistry__"}
"""Names that every module has."""

CachedFunction: Any = type(functools.cache(len))
CacheInfo = type(functools.cache(len).cache_info())


class Taken(NamedTuple):
    data: bytes
    lost: dict[str, str]
    """Names that are not in the data, with the reason."""


class TooLarge(Exception):
    pass


class Snapshots:
    """Takes snapshots of a namespace, and brings them back into it.

    `fixed` are things that the host has put into the session, by a name of their own. They are not
    serialised but found again under the same name, also where a variable only refers to them. Functions that
    were defined in cells see the namespace that they are brought back into.
    """

    def __init__(self, names: dict[str, Any], cloudpickle: str) -> None:
        self._names = names
        self._folder = cloudpickle

    def take(self, names: Iterable[str], fixed: Mapping[str, object], most_bytes: int) -> Taken:
        names = list(names)
        lost: dict[str, str] = {}
        while True:
            stream = _Stream(most_bytes)
            dump = self._pickler(stream, fixed)
            places: dict[str, int] = {}
            for name in names:
                if reason := _try(dump, self._names[name]):
                    break
                places[name] = stream.length
            else:
                return Taken(_with_index(places, list(fixed), stream.parts), lost)
            # What the failed one left in the memo makes this attempt worthless. Find all that fail at once.
            lost[name] = reason
            names.remove(name)
            if len(lost) == 1:
                lost |= self._failing(names, fixed, most_bytes)
                names = [name for name in names if name not in lost]

    def bring_back(self, data: bytes, fixed: Mapping[str, object]) -> dict[str, str]:
        """Bind the variables again; gives those that could not be, with the reason."""
        start = 8 + int.from_bytes(data[:8], "big")
        index = json.loads(data[8:start])
        for name, source in index["sources"]:
            linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        found = [fixed.get(name, _Absent(name)) for name in index["fixed"]] + [self._names]
        starts = [0, *(end for _, end in index["names"])]
        lost: dict[str, str] = {}
        while True:
            stream = io.BytesIO(data)
            unpickler = self._unpickler(stream, found)
            values: dict[str, Any] = {}
            for (name, _), place in zip(index["names"], starts, strict=False):
                stream.seek(start + place)
                if name not in lost and (reason := _try(_load, unpickler, name, values)):
                    break
            else:
                self._names.update(values)
                return lost
            # It has left unfinished things in the memo. Without its pickle, what needs them fails as well.
            needs = f"it needs a part of {', '.join(lost)}"[:REASON]
            lost[name] = needs if "Memo value not found" in reason else reason

    def _failing(self, names: Iterable[str], fixed: Mapping[str, object], most_bytes: int) -> dict[str, str]:
        reasons = {}
        for name in names:
            if reason := _try(self._pickler(_Stream(most_bytes), fixed), self._names[name]):
                reasons[name] = reason
        return reasons

    def _pickler(self, stream: _Stream, fixed: Mapping[str, object]) -> Callable[[object], None]:
        ids = {id(thing): number for number, thing in enumerate([*fixed.values(), self._names])}
        dump: Callable[[object], None] = _pickler_class(self._folder)(stream, self._names, ids).dump
        return dump

    def _unpickler(self, stream: io.BytesIO, found: Sequence[object]) -> pickle.Unpickler:
        _import(self._folder)
        return _Unpickler(stream, found)


class _Absent(NamedTuple):
    name: str


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, found: Sequence[object]) -> None:
        super().__init__(stream)
        self._found = found

    def persistent_load(self, number: int) -> object:
        thing = self._found[number]
        if isinstance(thing, _Absent):
            raise pickle.UnpicklingError(f"it needs {thing.name}, which this session was not given")
        return thing


@functools.cache
def _pickler_class(folder: str) -> Callable[[_Stream, dict[str, Any], Mapping[int, int]], Any]:
    cloudpickle = _import(folder)

    class Pickler(cloudpickle.Pickler):  # type: ignore[name-defined, misc]
        def __init__(self, stream: _Stream, names: dict[str, Any], ids: Mapping[int, int]) -> None:
            super().__init__(stream, protocol=PROTOCOL)
            self._names = names
            self._ids = ids

        def persistent_id(self, thing: object) -> int | None:
            return self._ids.get(id(thing))

        def reducer_override(self, thing: Any) -> Any:
            """Functions of cells refer to the namespace, where cloudpickle would copy what they use of it.

            One with a cache is made again without what it holds; pickle would look it up by its name.
            """
            if isinstance(thing, CachedFunction) and self._is_own(thing.__wrapped__):
                maxsize, typed = thing.cache_parameters().values()
                return (CachedFunction, (thing.__wrapped__, maxsize, typed, CacheInfo), vars(thing))
            reduced = super().reducer_override(thing)
            if not self._is_own(thing):
                return reduced
            make, (code, _, *arguments), (attributes, slots), *rest = reduced
            state = (attributes, {**slots, "__globals__": {}})
            return (make, (code, self._names, *arguments), state, *rest)

        def _is_own(self, thing: object) -> bool:
            return isinstance(thing, types.FunctionType) and thing.__globals__ is self._names

    return Pickler


def _import(folder: str) -> types.ModuleType:
    """The package `cloudpickle` from its folder, whatever the path of modules holds."""
    if "cloudpickle" not in sys.modules:
        spec = spec_from_file_location(
            "cloudpickle", f"{folder}/__init__.py", submodule_search_locations=[folder]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules["cloudpickle"] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules["cloudpickle"])
    return sys.modules["cloudpickle"]


class _Stream:
    """Keeps what is written to it, up to a length."""

    def __init__(self, most_bytes: int) -> None:
        self.parts: list[bytes] = []
        self.length = 0
        self._most_bytes = most_bytes

    def write(self, data: bytes) -> None:
        self.length += len(data)
        if self.length > self._most_bytes:
            raise TooLarge(f"the snapshot would have more than {self._most_bytes >> 20} MiB")
        self.parts.append(bytes(data))


def _load(unpickler: pickle.Unpickler, name: str, values: dict[str, Any]) -> None:
    values[name] = unpickler.load()


def _try(work: Callable[..., None], *arguments: object) -> str:
    """Why `work` failed; empty if it did not. A cell's class may raise anything when it is pickled."""
    try:
        work(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        return " ".join(traceback.format_exception_only(error)).replace("\n", " ").strip()[:REASON]
    return ""


def _with_index(places: Mapping[str, int], fixed: list[str], parts: list[bytes]) -> bytes:
    sources: list[tuple[str, str]] = []
    room = SOURCES
    for name, entry in reversed(linecache.cache.items()):
        if name.startswith("<cell ") and len(entry) == 4 and (room := room - entry[0]) >= 0:
            sources.append((name, "".join(entry[2])))
    index = json.dumps({"names": list(places.items()), "fixed": fixed, "sources": sources}).encode()
    return b"".join([len(index).to_bytes(8, "big"), index, *parts])
