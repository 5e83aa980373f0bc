import logging
import sysconfig
from pathlib import Path

import pytest

from palaestra.core.errors import DataError
from palaestra.core.task import ContextFile
from palaestra.datasets.documents import Document, join, keep, read_documents
from palaestra.datasets.stdlib import as_document, count_coroutine_functions, read_stdlib


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / ".git").mkdir()
    (tmp_path / "docs" / "b.txt").write_bytes(b"two\r\nlines")
    (tmp_path / "docs" / "sub" / "a.txt").write_text("é\n")
    (tmp_path / "docs" / ".git" / "config").write_text("hidden")
    (tmp_path / "docs" / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path / "docs"


def test_a_folder_is_one_document_with_a_line_before_every_file(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        text = read_documents([str(folder)])
    assert text == "=== FILE: b.txt ===\ntwo\r\nlines\n=== FILE: sub/a.txt ===\né\n"
    assert "left out 1 files" in caplog.text


def test_one_file_is_itself_and_several_are_joined_in_their_order(folder: Path) -> None:
    first, second = str(folder / "sub" / "a.txt"), str(folder / "b.txt")
    assert read_documents([second]) == "two\r\nlines"
    assert read_documents([first, second]) == join([Document(first, "é\n"), Document(second, "two\r\nlines")])


@pytest.mark.parametrize(("name", "message"), [("photo.jpg", "no UTF-8 text"), ("nowhere", "check the path")])
def test_what_cannot_be_read_is_told(folder: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_documents([str(folder / name)])
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="no text files"):
        read_documents([str(folder / "empty")])


def test_a_kept_text_is_addressed_by_its_content(tmp_path: Path) -> None:
    kept = keep("é\r\n\ud800", tmp_path / "contexts")
    assert Path(kept.path).read_bytes() == "é\r\n?".encode()
    assert kept.characters == 4
    assert keep("é\r\n?", tmp_path / "contexts") == kept
    assert isinstance(kept, ContextFile)


def test_the_standard_library_is_read_without_what_does_not_parse(tmp_path: Path) -> None:
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "other.py").write_text("async def f(): pass\n")
    (tmp_path / "good.py").write_text("class A:\n    async def f(self):\n        async def g(): pass\n")
    (tmp_path / "bad.py").write_text("async def f(:\n")
    (tmp_path / "latin.py").write_bytes(b"# coding: latin-1\nx = '\xe9'\n")
    files = read_stdlib(tmp_path)
    assert [(file.name, file.coroutine_functions) for file in files] == [("good.py", 2)]
    assert as_document(files).startswith("=== FILE: good.py ===\nclass A:")
    queue = Path(sysconfig.get_path("stdlib"), "asyncio", "queues.py").read_text()
    assert count_coroutine_functions(queue) == queue.count("    async def ")
