"""The context of a task, as an agent gets it and as a model is told of it."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

from palaestra.core.errors import DataError
from palaestra.core.task import ContextFile, Task

Material = str | ContextFile | Sequence[str] | Mapping[str, str]
SHOWN_KEYS = 20
PIECE_BYTES = 1 << 20
IN_VIEW = 8_000
"""Characters of a request that an agent reads in its window."""
LONG_REQUEST = "Your request is what `context` says. Read it, and answer it."


class ContextShape(NamedTuple):
    """What a model is told of a context that it does not see."""

    kind: str
    """As Python calls it, such as `list of 3 str`."""
    characters: int
    """Of all parts together."""
    keys: str
    """The first keys of a mapping."""

    @classmethod
    def of(cls, material: Material) -> Self:
        if isinstance(material, ContextFile):
            return cls("str", material.characters, "")
        if isinstance(material, str):
            return cls("str", len(material), "")
        parts = parts_of(material)
        characters = sum(map(len, parts))
        if isinstance(material, Mapping):
            keys = ", ".join(map(repr, list(material)[:SHOWN_KEYS]))
            more = ", …" if len(material) > SHOWN_KEYS else ""
            return cls(f"dict of {len(parts)} str", characters, keys + more)
        return cls(f"list of {len(parts)} str", characters, "")


def parts_of(material: Sequence[str] | Mapping[str, str]) -> list[str]:
    return list(material.values() if isinstance(material, Mapping) else material)


def context_of(task: Task) -> Material:
    """The task's context, a file as what it is; empty when there is none.

    Raises:
        DataError: its file cannot be read, or is not the one that the task was made with.
    """
    if isinstance(task.context, ContextFile):
        for _ in stream(task.context):
            pass
    return task.context or ""


def as_text(material: Material) -> str:
    """One text of all parts, for agents that know texts only; keys stand above theirs."""
    return "".join(stream(material))


def stream(material: Material) -> Iterator[str]:
    """The same in pieces; of a file no more than one is in memory.

    Raises:
        DataError: the file cannot be read, or at its end: it is not the one that the task was made with.
    """
    if isinstance(material, ContextFile):
        yield from _read(material)
    elif isinstance(material, Mapping):
        yield "\n\n".join(f"=== {key} ===\n{text}" for key, text in material.items())
    else:
        yield material if isinstance(material, str) else "\n\n".join(material)


def _read(context: ContextFile) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    digest = hashlib.sha256()
    try:
        with open(context.path, "rb") as file:
            while data := file.read(PIECE_BYTES):
                digest.update(data)
                yield decoder.decode(data)
    except OSError as error:
        raise DataError(f"cannot read the context {context.path}: {error.strerror}; put it back") from error
    yield decoder.decode(b"", final=True)
    if digest.hexdigest() != context.sha256:
        raise DataError(f"{context.path} has changed since the task was made; start a new run")


def request_task(
    name: str,
    request: str,
    context: str | Sequence[str] | Mapping[str, str] | None,
    instructions: str = "",
) -> Task:
    """A request as a task. One that is too long to be read at once is context, the last part of it."""
    if len(instructions) > IN_VIEW:
        instructions, request = "", f"{instructions}\n\n{request}"
    if len(request) > IN_VIEW:
        if isinstance(context, Mapping):
            context = {**context, "request": request}
        else:
            earlier = [context] if isinstance(context, str) else list(context or ())
            context = [*earlier, request] if earlier else request
        request = LONG_REQUEST
    if context is not None and not isinstance(context, str | Mapping):
        context = tuple(context)
    return Task(id=name, prompt=f"{instructions}\n\n{request}".strip(), context=context)
