"""Files as the context of a task: one long text."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from palaestra.core.errors import DataError
from palaestra.core.task import ContextFile

logger = logging.getLogger(__name__)


class Document(NamedTuple):
    name: str
    text: str


def join(documents: Iterable[Document]) -> str:
    """All texts, each after a line `=== FILE: name ===`."""
    return "".join(
        f"=== FILE: {name} ===\n{text if text.endswith(chr(10)) else text + chr(10)}"
        for name, text in documents
    )


def read_documents(paths: Sequence[str]) -> str:
    """The text of one file, or of several files and folders, joined in the order of paths and names.

    Of a folder, hidden files and files that are no UTF-8 text are left out.

    Raises:
        DataError: a path does not exist, a file is no UTF-8 text, or there is no file at all.
    """
    roots = [Path(path) for path in paths]
    if len(roots) == 1 and roots[0].is_file():
        return _read(roots[0])
    documents = [
        document
        for root in roots
        for document in (_of_folder(root) if root.is_dir() else [Document(str(root), _read(root))])
    ]
    if not documents:
        raise DataError(f"{', '.join(paths)} holds no text files; check the path")
    return join(documents)


def keep(text: str, folder: Path) -> ContextFile:
    """Write a text under `folder`, named by its content."""
    return keep_pieces((text,), folder)


def keep_pieces(pieces: Iterable[str], folder: Path) -> ContextFile:
    """The same for a text that comes in pieces and is never in memory as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    characters = 0
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".new", delete=False) as unfinished:
        for piece in pieces:
            data = piece.encode(errors="replace")
            digest.update(data)
            characters += len(piece)
            unfinished.write(data)
    file = folder / f"{digest.hexdigest()[:16]}.txt"
    Path(unfinished.name).replace(file)
    return ContextFile(path=str(file), sha256=digest.hexdigest(), characters=characters)


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text (byte {error.start}); convert it first") from error


def _of_folder(folder: Path) -> Iterator[Document]:
    left_out = 0
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in name.parts):
            try:
                yield Document(name.as_posix(), _read(file))
            except DataError:
                left_out += 1
    if left_out:
        logger.warning("%s: left out %d files that are no UTF-8 text", folder, left_out)
