import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra.sandbox.owners import folder_prefix, process_namespace, sweep_folders

KIND = "palaestra-test-"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The one for temporary folders."""
    before, tempfile.tempdir = tempfile.tempdir, str(tmp_path)
    yield tmp_path
    tempfile.tempdir = before


def test_strange_names_and_what_is_no_folder_are_left_alone(folder: Path) -> None:
    """Anybody may make them where temporary folders are."""
    namespace = process_namespace()
    names = [
        "x-1-2-3",
        f"-1-{namespace}-3",
        f"²-1-{namespace}-3",
        f"{'9' * 200}-1-{'8' * 9}-3",
        f"0x1-1-{namespace}-",
    ]
    for name in names:
        (folder / f"{KIND}{name}").mkdir()
    (folder / f"{KIND}0-1-{namespace}-file").write_text("")
    (folder / f"{KIND}0-1-{namespace}-link").symlink_to(folder)
    (folder / f"{KIND}0-1-{namespace}-nowhere").symlink_to("nowhere")
    before = sorted(folder.iterdir())
    assert sweep_folders(KIND) == []
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_is_too_deep_stops_nothing(folder: Path) -> None:
    deep = f"{KIND}0-1-{process_namespace()}-deep"
    making = "import os, sys\nfor name in (sys.argv[1], *['x'] * 3000): os.mkdir(name); os.chdir(name)"
    subprocess.run([sys.executable, "-c", making, deep], check=True, cwd=folder)
    orphan, own = (Path(tempfile.mkdtemp(prefix=each)) for each in (deep, folder_prefix(KIND)))
    sweep_folders(KIND)
    assert (orphan.exists(), own.exists()) == (False, True)
    subprocess.run(["rm", "-rf", str(folder / deep)], check=True)


def test_a_process_may_have_any_name(folder: Path) -> None:
    naming = (
        "import ctypes, time; ctypes.CDLL(None).prctl(15, b'\\xff\\xfe'); print(flush=True); time.sleep(9)"
    )
    with subprocess.Popen([sys.executable, "-c", naming], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        left = folder / f"{KIND}{process.pid}-1-{process_namespace()}-x"
        left.mkdir()
        assert sweep_folders(KIND) == [str(left)]
        process.kill()
    assert os.listdir(folder) == []
