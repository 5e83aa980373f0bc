"""What stands around a tournament, through the console script: people, recorded votes, calibration, pages."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from palaestra.core.events import JudgementGiven
from palaestra.store.run_store import RunStore

Run = Callable[..., subprocess.CompletedProcess[str]]

PLANS = {
    "poor": "I cannot say.",
    "good": "At 10:00 the Gulbenkian museum, at 14:00 the Estrela garden, at 19:30 a cheap dinner for 12.",
}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for name, plan in PLANS.items():
        rows = [{"prompt": f"Plan walk {n} with a garden and a dinner.", "answer": plan} for n in range(3)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return [f"{name}.jsonl" for name in PLANS]


def test_a_person_stops_and_goes_on_without_being_asked_twice(files: list[str], tmp_path: Path) -> None:
    script = str(Path(sysconfig.get_path("scripts")) / "palaestra")
    command = [script, "judge", *files, "--human"]
    stopped = subprocess.run(command, input="1\n1\nq\n", capture_output=True, text=True, cwd=tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    assert "resume with: palaestra resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not {"poor", "good"} & set(stopped.stderr.split())
    done = subprocess.run([script, "resume"], input="1\n", capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 matches judged, 0 without a verdict" in done.stdout
    store = RunStore.open(tmp_path / "runs" / "latest")
    assert [event.judgement.scores for event in store.events(JudgementGiven)] == [(10, 0)] * 3  # type: ignore[union-attr]
    store.close()


def test_exported_votes_judge_the_same_again_and_the_board_is_a_page(
    palaestra: Run, files: list[str], tmp_path: Path
) -> None:
    first = palaestra("judge", *files, "--judge", "listwise/scripted/judge")
    assert "6 calls" in first.stdout, first.stderr
    assert palaestra("export", "--to", "judgements", "--out", "out").stdout.split()[:4] == [
        "rows",
        "file",
        "3",
        "out/votes.jsonl",
    ]
    page = palaestra("export", "--to", "html", "--out", "out")
    assert page.returncode == 0, page.stderr
    assert "good" in (tmp_path / "out" / "leaderboard.html").read_text()
    again = palaestra("judge", *files, "--judge", "recorded/out/votes.jsonl")
    assert again.stdout.splitlines()[:3] == first.stdout.splitlines()[:3]
    assert "0 calls, 0 tokens" in again.stdout
    settings = yaml.safe_load((tmp_path / "runs" / "latest" / "config.yaml").read_text())
    assert settings["judge"]["path"] == str(tmp_path / "out" / "votes.jsonl")


def test_a_judge_is_examined_on_labelled_pairs(palaestra: Run, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Plan walk {n} with a garden.", "answer_a": PLANS["good"], "answer_b": PLANS["poor"],
         "winner": "a" if n else "b"}
        for n in range(4)
    ]  # fmt: skip
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = palaestra("judge", "--calibrate", "labelled.jsonl", "--judge", "scripted/judge")
    assert done.returncode == 0, done.stderr
    assert "agrees with the label              75.0%" in done.stdout
    assert "4 labelled pairs judged in both orders, 0 without a verdict" in done.stdout
    assert "8 calls" in done.stdout
