"""What is named by `module:name` is found, or the extra that it needs is told, from every verb."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from palaestra.core.config import VerbConfig
from palaestra.core.places import load
from palaestra.store.run_store import RunStore

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # what the import system keeps for a module that must not be found
from palaestra.cli.main import main
main()
"""


def test_what_stands_at_a_place_is_found() -> None:
    assert load("fractions:Fraction", "a test") is Fraction


def test_a_module_that_no_extra_brings_is_a_bug() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"palaestra\.nowhere"):
        load("palaestra.nowhere:something", "a test")


@pytest.mark.parametrize(
    ("words", "user"),
    [(["train", "--help"], "palaestra train"), (["resume", "runs/latest"], "a run of train")],
)
def test_a_verb_without_its_library_tells_how_to_install_it(
    tmp_path: Path, words: list[str], user: str
) -> None:
    RunStore.create(tmp_path / "runs", "train", VerbConfig()).close()
    command = [sys.executable, "-c", WITHOUT_TORCH, *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert (
        done.stderr == f"error: {user} needs torch, which is not installed: pip install 'palaestra[train]'\n"
    )
