"""The Python standard library's own source: several million tokens that every machine has."""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from palaestra.datasets.documents import Document, join

QUESTION = "How many coroutine functions (`async def`) does the Python standard library define?"
"""About the document that `as_document` makes; `sum(file.coroutine_functions …)` is the answer."""


class SourceFile(NamedTuple):
    name: str
    """Relative to the library's folder."""
    text: str
    coroutine_functions: int
    """`async def` statements, counted in the syntax tree."""


def read_stdlib(folder: Path | None = None) -> list[SourceFile]:
    """The Python files under the running interpreter's library (or one folder of it), sorted by name.

    Installed packages are left out, and so are files that are no UTF-8 or do not parse: the library's own
    tests keep some of either on purpose.
    """
    return list(_read(folder or Path(sysconfig.get_path("stdlib"))))


def as_document(files: list[SourceFile]) -> str:
    return join(Document(file.name, file.text) for file in files)


def _read(folder: Path) -> Iterator[SourceFile]:
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder)
        if not {"site-packages", "dist-packages"}.isdisjoint(name.parts):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            yield SourceFile(name.as_posix(), text, count_coroutine_functions(text))
        except (UnicodeDecodeError, SyntaxError, ValueError):
            continue


def count_coroutine_functions(source: str) -> int:
    """
    Raises:
        SyntaxError, ValueError: it does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    return sum(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))
