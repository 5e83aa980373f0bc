"""`palaestra run` as a user calls it, with a model behind real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from palaestra.core.events import RunFinished, RunStarted, TrajectoryFinished
from palaestra.core.usage import total
from palaestra.store.run_store import RunStore

Run = Callable[..., subprocess.CompletedProcess[str]]
Serving = Callable[..., str]
Stats = Callable[..., dict[str, int]]

COMMAND = [sys.executable, "-c", "from palaestra.cli.main import main; main()"]
ASK = "How many coroutine functions (`async def`) does this code define?"


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of source that defines six coroutine functions."""
    folder = tmp_path / "code"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.py", "b.py", "inner/c.py"):
        (folder / name).write_text("async def one(): pass\n# async def no\nasync def two(): pass\n")
    (folder / "image.png").write_bytes(b"\x89PNG\xff")
    return folder


def test_a_question_about_a_folder_is_answered_over_http(
    palaestra: Run,
    serving: Serving,
    stats: Stats,
    code: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CENSUS_KEY", "sesame")
    monkeypatch.setenv("WRONG_KEY", "guess")
    url = serving("scripted/code-census", "--api-key-variable", "CENSUS_KEY")
    words = [
        "--agent",
        "rlm",
        "--model",
        "openai/served",
        "--api-base",
        url,
        "--context",
        code,
        "--ask",
        ASK,
    ]
    refused = palaestra("run", *words, "model.api_key_variable=WRONG_KEY")
    done = palaestra("run", *words, "model.api_key_variable=CENSUS_KEY")
    counted = stats(url, "sesame")
    assert refused.returncode == 1
    assert "WRONG_KEY" in refused.stderr.partition("error:")[2]
    assert "Traceback" not in refused.stderr
    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    assert "left out 1 files that are no UTF-8 text" in done.stderr
    store = RunStore.open(tmp_path / "runs" / "latest")
    finished = store.last(RunFinished)
    assert finished is not None
    (event,) = store.events(TrajectoryFinished)
    for usage in (total(finished.usage.values()), total(event.trajectory.usage.values())):
        assert usage.calls == counted["calls"] == 6
        assert (usage.tokens_in, usage.tokens_out) == (counted["tokens_in"], counted["tokens_out"])


def test_a_run_killed_in_the_middle_goes_on_without_asking_again(
    palaestra: Run, serving: Serving, stats: Stats, tmp_path: Path
) -> None:
    rows = [{"id": f"t{n}", "prompt": ASK, "context": f"async def f{n}(): pass\n" * n} for n in range(8)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    runs = tmp_path / "runs"
    url = serving("scripted/code-census", "--latency", "0.1")
    words = [
        "run",
        "--model",
        "openai/served",
        "--api-base",
        url,
        "--tasks",
        "tasks.jsonl",
        "concurrency=2",
    ]
    killed = subprocess.Popen(
        [*COMMAND, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while not (runs / "latest" / "run.sqlite").exists() or stats(url)["requests"] < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    resumed = palaestra("resume")
    asked = stats(url)["requests"]
    assert resumed.returncode == 0, resumed.stderr
    answers = [json.loads(line) for line in resumed.stdout.splitlines()]
    assert [(row["task_id"], row["answer"]) for row in answers] == [(f"t{n}", str(n)) for n in range(8)]
    # Four calls for a task, three for the one with nothing to read; two trajectories were under way.
    assert 31 <= asked <= 31 + 2


def test_a_setting_is_replaced_by_a_bare_word_or_by_set(palaestra: Run) -> None:
    words = ["run", "--model", "scripted/echo", "--ask", "x", "--dry-run"]
    done = palaestra(*words, "--set", "budget.turns=3", "--set", "seed=5", "repeats=2")
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    assert (settings["budget"]["turns"], settings["seed"], settings["repeats"]) == (3, 5, 2)


def test_ctrl_c_ends_the_run_cleanly_and_says_how_to_go_on(
    serving: Serving, stats: Stats, code: Path, tmp_path: Path
) -> None:
    url = serving("scripted/code-census", "--latency", "30")
    words = ["run", "--model", "openai/served", "--api-base", url, "--context", str(code), "--ask", ASK]
    run = subprocess.Popen([*COMMAND, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while stats(url)["requests"] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 130
    assert "palaestra resume " in errors
    assert "Traceback" not in errors


def test_failed_trajectories_are_taken_up_again_when_that_is_asked_for(
    palaestra: Run, tmp_path: Path
) -> None:
    rows = [{"id": "short", "prompt": ASK}, {"id": "long", "prompt": ASK + "x" * 40_000}]
    (tmp_path / "tasks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = ("--model", "scripted/code-census", "model.context_window=6000")
    done = palaestra("run", *model, "--tasks", "tasks.jsonl")
    folder = (tmp_path / "runs" / "latest").resolve()
    assert done.returncode == 3
    assert f"retry with: palaestra resume {folder} --retry-errors\n" in done.stderr
    as_it_is = palaestra("resume")
    assert as_it_is.returncode == 0
    assert (
        f"is finished (failures); palaestra show {folder} or resume it with --retry-errors" in as_it_is.stderr
    )
    again = palaestra("resume", "--retry-errors")
    assert again.returncode == 3
    assert "1 failed trajectories are taken up again" in again.stderr
    store = RunStore.open(folder)
    drawn = [event.trajectory for event in store.events(TrajectoryFinished)]
    assert [(each.id, each.status) for each in drawn] == [("short#0", "finished"), ("long#0", "error")]
    assert len(list(store.events(RunStarted))) == 2
    store.close()


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_machine_that_cannot_isolate_is_told_before_a_model_is_asked(
    palaestra: Run, tmp_path: Path, more: list[str]
) -> None:
    words = ["--model", "scripted/code-census", "--ask", ASK, "sandbox.jail.python=/nonexistent", *more]
    refused = palaestra("run", *words)
    assert refused.returncode == 1
    assert "no session can be isolated" in refused.stderr
    assert not (tmp_path / "runs").exists()
    assert palaestra("run", *words, "--agent", "memory").returncode == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--ask", "x", "--context", "nowhere"], 2, "cannot read {folder}/nowhere"),
        (["--tasks", "bad.jsonl"], 2, "line 2"),
        (["--ask", "x", "budget.turn=3"], 2, "did you mean 'budget.turns'"),
        (["--ask", "x", "model.context_window=50"], 3, "ContextTooLong"),
    ],
)
def test_bad_input_is_one_clear_line(
    palaestra: Run, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x"}\n{"prompt"\n')
    done = palaestra("run", "--model", "scripted/code-census", *words)
    assert done.returncode == code, done.stderr
    assert message.format(folder=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
