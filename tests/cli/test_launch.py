"""A run from its start to each of its ends, in a real process."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from palaestra.core.events import RunFinished, RunStarted, TrajectoryFinished
from palaestra.core.usage import Usage
from palaestra.store.run_store import RunStore
from palaestra.store.runs import find_runs, summarize

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[str]]


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    while process.stdout.readline() != f"{line}\n":
        assert process.poll() is None, f"ended before {line!r}"


def numbers(store: RunStore) -> list[str]:
    return [event.trajectory.id for event in store.events(TrajectoryFinished)]


def test_a_run_leaves_its_settings_events_and_account(counting: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("upto: 4\nseed: 1\n")
    done = counting("launch", "--config", "config.yaml", "--upto", 3, "--set", "limit=9", "max_cost=2")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "counted to 3"
    store = RunStore.open(tmp_path / "runs" / "latest")
    assert done.stderr.splitlines()[-1] == f"run: {store.folder}"
    stored = yaml.safe_load((store.folder / "config.yaml").read_text())
    assert (stored["upto"], stored["seed"], stored["limit"], stored["max_cost"]) == (3, 1, 9, 2.0)
    assert [event.verb for event in store.events(RunStarted)] == ["counting"]
    finished = store.last(RunFinished)
    assert finished is not None
    assert finished.status == "done"
    assert finished.usage == {"policy": Usage(calls=3, tokens_in=3000, cost=None)}


def test_a_dry_run_prints_the_settings_and_makes_nothing(counting: Run, tmp_path: Path) -> None:
    done = counting("launch", "--dry-run", "seconds=0.5", "--seed", 4)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout) == {
        "seed": 4,
        "limit": None,
        "max_cost": None,
        "concurrency": 16,
        "upto": 10,
        "seconds": 0.5,
        "ending": "done",
    }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ending", "code", "status", "line"),
    [
        ("failures", 3, "failures", "finished with failures: as configured"),
        ("limit", 0, "limit", "stopped at a limit: as configured"),
        ("model", 1, "error", "error: no connection; check it"),
        ("config", 2, "error", "error: no connection; check it"),
        ("group", 1, "error", "error: no connection"),
    ],
)
def test_every_end_has_its_exit_code_and_its_line(
    counting: Run, tmp_path: Path, ending: str, code: int, status: str, line: str
) -> None:
    done = counting("launch", "upto=2", f"ending={ending}")
    assert done.returncode == code
    assert any(printed.startswith(line) for printed in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    store = RunStore.open(tmp_path / "runs" / "latest")
    assert summarize(store).state == status
    assert numbers(store) == ["0", "1"]
    assert (f"resume with: palaestra resume {store.folder}" in done.stderr) == (status != "failures")
    assert ("counted to 2" in done.stdout) == (status != "error")


def test_a_failure_before_anything_was_done_leaves_no_run(counting: Run, tmp_path: Path) -> None:
    for before in (0, 1):
        done = counting("launch", "upto=0", "ending=config", "--display", "none")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "error: no connection; check it (nothing was done, and no run is kept)\n"
        assert len(find_runs(tmp_path / "runs")) == before
        assert (tmp_path / "runs" / "latest").is_dir() == bool(before)
        counting("launch", "upto=1")


def test_a_run_that_was_kept_outlives_a_later_failure(counting: Run, tmp_path: Path) -> None:
    counting("launch", "upto=0", "ending=limit")
    (folder,) = find_runs(tmp_path / "runs")
    settings = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(settings.replace("ending: limit", "ending: config"))
    resumed = counting("resume", folder)
    assert resumed.returncode == 2
    assert f"resume with: palaestra resume {folder}" in resumed.stderr


def test_a_bug_is_not_hidden(counting: Run, tmp_path: Path) -> None:
    done = counting("launch", "upto=1", "ending=bug")
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert summarize(RunStore.open(tmp_path / "runs" / "latest")).state == "unfinished"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_everything_and_can_be_resumed(
    start_counting: Start, counting: Run, tmp_path: Path, number: signal.Signals
) -> None:
    with start_counting("launch", "upto=30", "seconds=0.02") as process:
        wait_for(process, "counted 4")
        process.send_signal(number)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    store = RunStore.open(tmp_path / "runs" / "latest")
    assert stderr.splitlines()[-2:] == [
        f"resume with: palaestra resume {store.folder}",
        f"run: {store.folder}",
    ]
    assert "Traceback" not in stderr
    before = numbers(store)
    assert before[:5] == ["0", "1", "2", "3", "4"]
    assert len(before) < 30
    assert summarize(store).state == "interrupted"
    assert counting("resume", store.folder).stdout.splitlines()[-1] == "counted to 30"
    assert numbers(store) == [str(number) for number in range(30)]


def test_a_second_interrupt_ends_work_that_does_not_listen(start_counting: Start, tmp_path: Path) -> None:
    with start_counting("launch", "upto=1", "ending=deaf", "--display", "none") as process:
        wait_for(process, "counted 0")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
    assert process.returncode == 130
    assert summarize(RunStore.open(tmp_path / "runs" / "latest")).state == "interrupted"


def test_a_killed_run_is_locked_until_then_and_can_be_resumed(
    start_counting: Start, counting: Run, tmp_path: Path
) -> None:
    with start_counting("launch", "upto=40", "seconds=0.1") as process:
        wait_for(process, "counted 3")
        store = RunStore.open(tmp_path / "runs" / "latest")
        assert summarize(store).state == "running"
        assert numbers(store)[:4] == ["0", "1", "2", "3"]
        second = counting("resume", store.folder)
        assert second.returncode == 1
        assert second.stderr.startswith(f"error: {store.folder} is being written by another process")
        assert len(second.stderr.splitlines()) == 1
        process.kill()
    assert summarize(store).state == "unfinished"
    assert len(numbers(store)) < 40
    assert counting("resume", store.folder, "--set", "concurrency=2").returncode == 0
    assert numbers(store) == [str(number) for number in range(40)]
    summary = summarize(store)
    assert summary.state == "done"
    assert summary.counts["run-started"] == 2
    assert summary.usage["policy"].calls == 40


def test_a_resumed_run_keeps_its_settings(counting: Run, tmp_path: Path) -> None:
    counting("launch", "upto=2", "ending=limit")
    refused = counting("resume", "--set", "upto=3", "--set", "seed=1", "--set", "max_cost=4")
    assert refused.returncode == 2
    assert "these differ: seed, upto;" in refused.stderr
    assert counting("resume", "--set", "seed=0", "--set", "max_cost=4").returncode == 0
    store = RunStore.open(tmp_path / "runs" / "latest")
    assert summarize(store).counts["run-started"] == 2


def test_a_finished_run_says_so(counting: Run) -> None:
    counting("launch", "upto=1")
    again = counting("resume")
    assert again.returncode == 0
    assert "is finished (done)" in again.stderr
    assert again.stdout == ""


def test_the_plain_display_is_short_and_tells_unknown_from_free(counting: Run) -> None:
    lines = counting("launch", "upto=3").stderr.splitlines()
    assert lines[0].startswith("run ")
    assert lines[1].endswith("| 3 trajectories | policy 3.0k tokens, cost unknown")
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_the_json_display_has_one_object_per_event(counting: Run) -> None:
    *lines, _ = counting("launch", "upto=2", "--display", "json").stderr.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["kind"] for event in events] == [
        "run-started",
        *["call-made", "trajectory-finished"] * 2,
        "run-finished",
    ]
    assert events[2]["trajectory"]["steps"] == 0


def test_the_display_is_rich_on_a_terminal_and_silent_on_demand(start_counting: Start) -> None:
    ours, theirs = pty.openpty()
    with start_counting("launch", "upto=2", stderr=theirs) as process:
        process.communicate(timeout=300)
    shown = os.read(ours, 100_000).decode()
    assert "\x1b[" in shown
    assert "2 trajectories" in shown
    assert "cost unknown" in shown
    with start_counting("launch", "upto=2", "--display", "none") as process:
        _, stderr = process.communicate(timeout=300)
    assert [line.partition(":")[0] for line in stderr.splitlines()] == ["run"]
