"""`list`, `show`, `export` and `doctor` on a real run, through the console script."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.core.config import VerbConfig
from palaestra.core.events import (
    CallMade,
    RankingMade,
    RunFinished,
    RunStarted,
    StepSkipped,
    TaskLoaded,
    TrajectoryFinished,
    UpdateDone,
)
from palaestra.core.ranking import Ranking, Standing
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.core.usage import Usage
from palaestra.store.run_store import RunStore

Run = Callable[..., subprocess.CompletedProcess[str]]


def trajectory(name: str, answer: str) -> Trajectory:
    step = Step(
        thought="count them",
        actions=(Action(kind="code", content="print(6 * 7)"),),
        observation="\x1b[2J42 [red]",
        seconds=1.25,
    )
    return Trajectory(id=name, task_id="task-1", agent="rlm", status="finished", answer=answer, steps=(step,))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path / "runs", "run", VerbConfig(seed=17))
    store.write(RunStarted(verb="run"))
    store.write(TaskLoaded(task=Task(id="task-1", prompt="?")))
    usage = Usage(calls=1, tokens_in=1200, tokens_out=300, cost=None)
    store.write(CallMade(trajectory_id="τ0", role="policy", model="m", usage=usage, cached=False))
    for number in range(22):
        store.write(
            TrajectoryFinished(trajectory=trajectory(f"τ{number}", f"answer\n{number} " + "long " * 30))
        )
    standings = (Standing(contestant="τ1", rank=0, score=1.5, standard_error=0.25, comparisons=2),)
    store.write(RankingMade(group="task-1", ranking=Ranking(standings=standings)))
    store.write(RunFinished(status="failures", reason="2 tasks failed", usage={"policy": usage}))
    store.close()
    return store


def test_list_has_one_line_per_run(palaestra: Run, store: RunStore, tmp_path: Path) -> None:
    other = RunStore.create(tmp_path / "runs", "train", VerbConfig())
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "environment.json").write_text("{")
    done = palaestra("list")
    assert done.returncode == 0
    header, *lines = (line.split() for line in done.stdout.splitlines())
    assert header == ["run", "state", "holds", "tokens", "cost"]
    assert sorted(lines) == sorted(
        [
            [store.id, "failures", "1", "tasks,", "22", "trajectories,", "1", "rankings", "1.5k", "unknown"],
            [other.id, "unfinished", "0", "$0.00"],
        ]
    )
    assert "skipped: " in done.stderr
    assert "broken" in done.stderr


def test_list_without_runs_says_what_makes_one(palaestra: Run) -> None:
    done = palaestra("list", "nowhere")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no runs in nowhere" in done.stderr


def test_show_gives_the_overview_of_the_latest_run(palaestra: Run, store: RunStore) -> None:
    done = palaestra("show")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert shown == palaestra("show", store.id).stdout == palaestra("show", store.folder).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["seed:", "17"] in lines
    assert ["state", "failures"] in lines
    assert ["reason", "2", "tasks", "failed"] in lines
    assert ["policy", "1", "1200", "300", "unknown"] in lines
    assert ["task-1", "0", "τ1", "1.5", "±", "0.25", "2"] in lines
    answers = [line for line in lines if "task-1" in line and "finished" in line]
    assert len(answers) == 20
    assert answers[0][:6] == ["τ0", "task-1", "finished", "1", "answer", "0"]
    assert "palaestra export" in shown


def test_show_sums_a_training_run_up(palaestra: Run, tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "runs", "train", VerbConfig())
    for step in range(1, 4):
        store.write(UpdateDone(step=step, phase="warm-start", metrics={"loss": 9.0}))
    for step, won in enumerate((0.5, 0.75, 0.625), start=1):
        metrics = {"loss": 0.5 / step, "entropy": 2.0, "ratio": 1.0, "kl_to_reference": 0.001 * step}
        store.write(UpdateDone(step=step, phase="train", metrics=metrics))
        evaluated = {"win_rate": won, "win_rate_low": 0.4, "win_rate_high": 0.8, "judged": 20}
        evaluated |= {"start_utility": 0.25, "utility": won / 2}
        store.write(UpdateDone(step=step, phase="evaluation", metrics=evaluated))
    store.write(StepSkipped(step=4, reason="all advantages of 6 samples are 0"))
    store.close()
    shown = palaestra("show", store.folder).stdout
    assert "holds   3 warm-start steps, 3 updates, 1 skipped steps, 3 evaluations\n" in shown
    _, told, first, second, settings = shown.split("\n\n")
    assert settings.startswith("--- settings\nseed: 0\n")
    assert told.startswith("step 3: win rate 62.5% against the start policy")
    assert [line.split() for line in first.splitlines()] == [
        ["evaluation", "step", "win", "rate", "utility"],
        ["first", "1", "50.0%", "0.250"],
        ["best", "2", "75.0%", "0.375"],
        ["last", "3", "62.5%", "0.312"],
    ]
    assert [line.split() for line in second.splitlines()] == [
        ["metric", "step", "1", "step", "3"],
        ["loss", "0.5", "0.167"],
        ["entropy", "2", "2"],
        ["kl_to_reference", "0.001", "0.003"],
    ]
    assert "3 updates, 1 skipped steps, 3 evaluations" in palaestra("list").stdout


def test_show_prints_one_trajectory_without_obeying_it(palaestra: Run, store: RunStore) -> None:
    shown = palaestra("show", "--trajectory", "τ3").stdout
    for part in (
        "τ3 by rlm",
        "--- step 1, 1.2 s",
        "count them",
        "> code",
        "print(6 * 7)",
        "42 [red]",
        "answer\n3",
    ):
        assert part in shown
    assert "\x1b" not in shown
    missing = palaestra("show", "--trajectory", "τ99")
    assert missing.returncode == 1
    assert "no finished trajectory 'τ99'" in missing.stderr


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_export_tells_what_it_wrote(palaestra: Run, store: RunStore, tmp_path: Path, format: str) -> None:
    done = palaestra("export", store.folder, "--to", format, "--out", "out")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["rows", "file"],
        ["22", f"out/trajectories.{format}"],
        ["1", f"out/rankings.{format}"],
    ]
    assert (tmp_path / "out" / f"trajectories.{format}").stat().st_size > 1000


def test_export_refuses_a_format_it_does_not_know(palaestra: Run, store: RunStore) -> None:
    assert palaestra("export", store.folder, "--to", "xml").returncode == 2


def test_resume_refuses_a_run_whose_verb_is_unknown(palaestra: Run, store: RunStore) -> None:
    file = store.folder / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"verb": "os:system"}))
    done = palaestra("resume", store.folder)
    assert done.returncode == 1
    assert "made by 'os:system', which cannot be resumed" in done.stderr


def test_only_runs_of_agents_have_trajectories_to_retry(palaestra: Run, store: RunStore) -> None:
    file = store.folder / "environment.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"verb": "judge"}))
    done = palaestra("resume", store.folder, "--retry-errors")
    assert done.returncode == 2
    assert "--retry-errors is for runs of agents" in done.stderr


def test_doctor_names_keys_and_never_shows_them(palaestra: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    done = palaestra("doctor")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert ["OPENAI_API_KEY", "yes"] in lines
    assert ["MISTRAL_API_KEY", "no"] in lines
    assert "sk-secret" not in done.stdout + done.stderr
    assert any(line[:1] == ["pydantic"] for line in lines)
