"""`palaestra bench longcontext`, `tasks` and `compare` as a user calls them."""

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.cli.bench import parse_length
from palaestra.cli.curves import draw
from palaestra.cli.tasks import tasks
from palaestra.core.errors import ConfigError
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.source import DataSource

Run = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--agents", "plain,rlm", "--families", "niah-single,oolong-user", "--tasks", "1")


def test_a_bench_prints_its_tables_and_draws_its_curves(palaestra: Run, tmp_path: Path) -> None:
    done = palaestra("bench", "longcontext", *QUICK, "--lengths", "2k,256k")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:4] for row in rows[1:5]] == [
        ["plain", "2k", "2", "100%"],
        ["plain", "256k", "2", "0%"],
        ["rlm", "2k", "2", "100%"],
        ["rlm", "256k", "2", "100%"],
    ]
    assert ["oolong-user", "plain", "100%", "0%"] in rows
    plot = ElementTree.parse(tmp_path / "runs" / "latest" / "longcontext.svg").getroot()
    lines = [each for each in plot.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 5 + 2, "five grid lines and two curves"
    shown = palaestra("show")
    assert shown.returncode == 0, shown.stderr
    assert ["oolong-user", "plain", "100%", "0%"] in [line.split() for line in shown.stdout.splitlines()]
    assert "finished (done)" in palaestra("resume").stderr


def test_what_cannot_be_benched_is_told_before_a_run_is_made(palaestra: Run, tmp_path: Path) -> None:
    for words, message in (
        (("--families", "niah"), "unknown task family 'niah'"),
        (("--agents", "rlm,rlm"), "has a name twice"),
    ):
        failed = palaestra("bench", "longcontext", *words)
        assert failed.returncode == 2
        assert message in failed.stderr
    assert not (tmp_path / "runs").exists()


def test_runs_on_generated_tasks_have_scores_and_are_compared(palaestra: Run, tmp_path: Path) -> None:
    made = palaestra("tasks", "common-words", "--count", "6", "--tokens", "4k", "--out", "tasks.jsonl")
    assert made.stdout == "6 tasks: tasks.jsonl\n", made.stderr
    with (tmp_path / "tasks.jsonl").open("a") as file:
        file.write(json.dumps({"id": "own", "prompt": "most common words in the list", "context": "1. x"}))
    words = "run", "--model", "scripted/long-context", "--tasks", "tasks.jsonl", "--display", "none"
    done = palaestra(*words, "--agent", "plain")
    assert done.returncode == 0, done.stderr
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("score") for row in printed] == [1.0] * 6 + [None]
    forgetful = "--agent", "memory", "--set", "agent.memory_tokens=40", "--set", "agent.chunk_tokens=500"
    assert palaestra(*words, *forgetful).returncode == 0
    shown = [line.split() for line in palaestra("show").stdout.splitlines()]
    (scores,) = [row for row in shown if row[:2] == ["common-words", "6"]]
    assert float(scores[2]) < 0.5
    runs = sorted(path for path in (tmp_path / "runs").iterdir() if not path.is_symlink())
    compared = palaestra("compare", *runs)
    assert compared.stdout.splitlines()[1].split() == ["common-words", "0", "6", "0", "0", "0.0312"]


def test_tasks_of_every_kind_of_family_can_be_made(tmp_path: Path) -> None:
    for name in ("name-index", "trip", "mrcr-2"):
        tasks(name, count=2, tokens="2k", out=tmp_path / "tasks.jsonl", seed=1)
        made = load_tasks(DataSource(path=str(tmp_path / "tasks.jsonl")))
        assert [task.family for task in made] == [name, name]
    with pytest.raises(ConfigError, match="name-index"):
        tasks("name-indices")


def test_lengths_are_binary() -> None:
    assert [parse_length(text) for text in ("8k", "4M", "1000")] == [8192, 4194304, 1000]
    with pytest.raises(ConfigError, match=r"'1.5k' is no length in tokens"):
        parse_length("1.5k")


def test_curves_stand_where_their_numbers_are() -> None:
    picture = ElementTree.fromstring(draw({"rlm <d1>": [(8192, 1.0), (131072, 0.5)], "plain": [(8192, 0.0)]}))
    texts = [each.text for each in picture.iter() if each.tag.endswith("text")]
    assert {"rlm <d1>", "plain", "8k", "128k", "100%"} <= set(texts)
    curve = [each for each in picture.iter() if each.tag.endswith("polyline")][5]
    (x1, y1), (x2, y2) = (tuple(map(float, place.split(","))) for place in curve.attrib["points"].split())
    assert x1 < x2
    assert y2 - y1 == pytest.approx((360 - 20 - 50) / 2)
