"""The command itself: quick, and true about its verbs."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from palaestra.cli.main import VERBS

Run = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = ("docker", "litellm", "langgraph", "networkx", "pyarrow", "sqlalchemy", "torch", "transformers")

CALL = """
import sys
from palaestra.cli.main import main

sys.argv = ["palaestra", *{words!r}]
try:
    main()
finally:
    print([name for name in {heavy!r} if name in sys.modules])
"""


def test_the_help_lists_every_verb_with_its_summary(palaestra: Run) -> None:
    shown = palaestra("--help")
    assert shown.returncode == 0
    for name, entry in VERBS.items():
        (line,) = [line for line in shown.stdout.splitlines() if line.startswith(f"│ {name} ")]
        assert line.strip("│ ").removeprefix(name).strip() == entry.summary


@pytest.mark.parametrize("name", VERBS)
def test_a_summary_is_the_first_line_of_its_verb(name: str) -> None:
    module, _, function = VERBS[name].place.partition(":")
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            assert (ast.get_docstring(node) or "").partition("\n")[0] == VERBS[name].summary
            return
    pytest.fail(f"{module} has no function {function}")


def test_a_verb_has_its_own_help(palaestra: Run) -> None:
    shown = palaestra("export", "--help").stdout
    assert VERBS["export"].summary in shown
    assert "--to" in shown


@pytest.mark.parametrize("words", [["--help"], ["--version"], []])
def test_the_help_imports_nothing_heavy(words: list[str]) -> None:
    program = CALL.format(words=words, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_help_takes_less_than_three_tenths_of_a_second(palaestra: Run) -> None:
    def processor_seconds() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    taken = []
    for _ in range(3):
        before = processor_seconds()
        palaestra("--help")
        taken.append(processor_seconds() - before)
    assert min(taken) < 0.3


def test_the_version_is_that_of_the_package(palaestra: Run) -> None:
    assert palaestra("--version").stdout == f"{version('palaestra')}\n"


def test_a_misspelt_verb_is_a_usage_error_with_a_suggestion(palaestra: Run) -> None:
    done = palaestra("exprot")
    assert done.returncode == 2
    assert "Did you mean 'export'?" in done.stderr


def test_an_error_of_ours_is_one_line_and_its_exit_code(palaestra: Run, tmp_path: Path) -> None:
    done = palaestra("show", tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"error: {tmp_path} holds no run; `palaestra list` shows those there are\n"
