"""Whatever is wrong with what a user gives: one clear line, the documented exit code, nothing done lost."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.core.events import JudgementGiven
from palaestra.store.run_store import RunStore

Run = Callable[..., subprocess.CompletedProcess[str]]
Serving = Callable[..., str]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers of two systems to the same two prompts."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    for name, answer in {"a": "The Danube, which rises in the Black Forest.", "b": "Dunno."}.items():
        rows = ({"id": n, "prompt": f"Name river {n} and where it rises.", "answer": answer} for n in (1, 2))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "broken.jsonl").write_text('{"id": 1, "prompt": "x", "answer": "y"}\n{"id": 2, "prompt":\n')
    return ["a.jsonl", "b.jsonl"]


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that is an error."""
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "Traceback" not in done.stderr
    return line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["a.jsonl", "b.jsonl", "--set", "topologyy=anchor"],
            "unknown setting 'topologyy', did you mean 'topology'?",
        ),
        (
            ["a.jsonl", "b.jsonl", "--set", "tournament.retries=-1"],
            "the command line: tournament.retries is -1, but should be greater than or equal to 0",
        ),
        (
            ["a.jsonl", "missing.jsonl"],
            "cannot read missing.jsonl: No such file or directory; check the path",
        ),
        (["a.jsonl", "broken.jsonl"], "broken.jsonl line 2 is not valid JSON"),
        (["a.jsonl", "b.jsonl", "--rubric", "none.yaml"], "cannot read none.yaml: No such file"),
        (["a.jsonl", "b.jsonl", "--config", "none.yaml"], "cannot read none.yaml: No such file"),
    ],
)
def test_settings_and_files_that_cannot_be_used(
    palaestra: Run, files: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    done = palaestra("judge", *words, "--judge", "scripted/judge", "--display", "none")
    assert done.returncode == 2, done.stderr
    assert message in error_line(done)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ask", "x", "--model", "scripted/ecko"], "there is no scripted model 'ecko'"),
        (["--ask", "x", "--model", "nobody/m"], "there is no provider 'nobody'"),
        (["--ask", "x", "--model", "scripted/echo", "--sub-model", "m"], "is not of the form backend/model"),
        (["--ask", "x", "--model", "scripted/echo", "--context", "gone"], "gone: there is no such file"),
        (["--tasks", "gone.jsonl", "--model", "scripted/echo"], "gone.jsonl: No such file"),
        (["--tasks", "broken.jsonl", "--model", "scripted/echo"], "broken.jsonl line 2 is not valid JSON"),
    ],
)
def test_a_run_that_cannot_begin_leaves_no_folder(
    palaestra: Run, files: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    done = palaestra("run", *words, "--display", "none")
    assert done.returncode == 2, done.stderr
    assert message in error_line(done)
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_finds_what_would_end_the_run_at_once(
    palaestra: Run, files: list[str], tmp_path: Path
) -> None:
    for words, message in (
        (("train", "--policy", "tiny/trip", "--limit", 5, "--dry-run"), "or raise tiny.window"),
        (("judge", *files, "--judge", "scripted/ecko", "--dry-run"), "there is no scripted model 'ecko'"),
        (("run", "--model", "scripted/echo", "--tasks", "gone.jsonl", "--dry-run"), "gone.jsonl: No such"),
    ):
        done = palaestra(*words)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert message in error_line(done)
    assert not (tmp_path / "runs").exists()


def test_a_recipe_is_found_by_its_name_from_anywhere(palaestra: Run) -> None:
    done = palaestra("train", "--config", "trip-grpo", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "  name: grpo\n" in done.stdout
    missing = palaestra("train", "--config", "trip-gpo", "--dry-run")
    assert error_line(missing) == "error: cannot read trip-gpo: No such file or directory; check the path"
    assert "File name too long" in error_line(palaestra("train", "--config", "x" * 300, "--dry-run"))


def test_a_missing_setting_is_named(palaestra: Run) -> None:
    done = palaestra("run", "--ask", "x", "--display", "none")
    assert done.returncode == 2
    assert "the setting 'model' is missing" in error_line(done)


def test_a_judge_that_answers_nonsense(
    palaestra: Run, serving: Serving, files: list[str], tmp_path: Path
) -> None:
    url = serving("scripted/nonsense")
    done = palaestra("judge", *files, "--judge", "openai/served", "--api-base", url, "--display", "none")
    assert done.returncode == 1
    assert "no prompt got a verdict" in error_line(done)
    assert "try another judge" in error_line(done)
    store = RunStore.open(tmp_path / "runs" / "latest")
    given = list(store.events(JudgementGiven))
    store.close()
    assert len(given) == 2 * 2 * 3  # two prompts, both orders, asked three times each, and all of it kept
    assert {event.judgement.kind for event in given} == {"no-verdict"}


def test_a_context_that_is_too_long(palaestra: Run, serving: Serving, files: list[str]) -> None:
    url = serving("scripted/judge", "model.context_window=50")
    done = palaestra("judge", *files, "--judge", "openai/served", "--api-base", url, "--display", "none")
    assert done.returncode == 1
    assert "window of 50 tokens" in error_line(done)
    assert "shorten the prompt" in error_line(done)


def test_a_wrong_key(
    palaestra: Run, serving: Serving, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_KEY", "sesame")
    url = serving("scripted/judge", "--api-key-variable", "SERVER_KEY")
    done = palaestra("judge", *files, "--judge", "openai/served", "--api-base", url, "--display", "none")
    assert done.returncode == 1
    assert "refuses the key" in error_line(done)
    assert "OPENAI_API_KEY" in error_line(done)


def test_an_endpoint_that_cannot_be_reached_and_is_back_on_resume(
    palaestra: Run, serving: Serving, files: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}/v1"
    once = ("--set", "judge.model.retries=0")
    done = palaestra(
        "judge", *files, "--judge", "openai/served", "--api-base", address, *once, "--display", "none"
    )
    assert done.returncode == 1
    assert address in error_line(done)
    assert "palaestra resume " in done.stderr
    assert serving("scripted/judge", port=port) == address
    resumed = palaestra("resume", "--display", "none")
    assert resumed.returncode == 0, resumed.stderr
    assert "2 matches judged, 0 without a verdict" in resumed.stdout
