"""Exported files hold what the run holds, and all formats hold the same."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from palaestra.core.chat import TokenTrace
from palaestra.core.config import VerbConfig
from palaestra.core.errors import StoreError
from palaestra.core.events import JudgementGiven, RankingMade, TrajectoryFinished, UpdateDone
from palaestra.core.ranking import Ranking, Standing
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict, Vote
from palaestra.store.export import BATCH, export
from palaestra.store.run_store import RunStore

USAGE = Usage(calls=2, tokens_in=30, tokens_out=4, cost=None)
TRAJECTORY = Trajectory(
    id="τ",
    task_id="t",
    agent="rlm",
    status="finished",
    answer="42",
    steps=(
        Step(
            thought="look", actions=(Action(kind="code", content="print(1)"),), observation="1", usage=USAGE
        ),
    ),
    usage={"policy": USAGE},
    children=(Trajectory(id="child", task_id="t", agent="rlm", status="limit", answer="", reason="turns"),),
    trace=TokenTrace(ids=(5, 6), log_probs=(0.0, -0.5), mask=(False, True)),
)


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore.create(tmp_path, "train", VerbConfig())
    store.write(TrajectoryFinished(group="g", trajectory=TRAJECTORY))
    for judgement in (
        Verdict.from_scores(8, 3.5, rationale="better"),
        NoVerdict(reason="nonsense", usage=USAGE),
    ):
        store.write(
            JudgementGiven(group="g", stage="r1", first="a", second="b", judge="j", judgement=judgement)
        )
    standings = (
        Standing(contestant="a", rank=0, score=2.0, comparisons=3),
        Standing(contestant="b", rank=1, score=0),
    )
    store.write(RankingMade(group="g", ranking=Ranking(standings=standings, undecided=1)))
    for step in range(BATCH + 1):
        store.write(UpdateDone(step=step, phase="train", metrics={"loss": step / 2}))
    return store


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def read_parquet(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist(maps_as_pydicts="strict")
    return rows


def test_one_file_per_kind_with_every_row(store: RunStore) -> None:
    written = export(store, "jsonl")
    assert {file.name: rows for file, rows in written.items()} == {
        "trajectories.jsonl": 1,
        "judgements.jsonl": 2,
        "rankings.jsonl": 2,
        "updates.jsonl": BATCH + 1,
    }
    folder = store.folder / "export"
    (trajectory,) = read_jsonl(folder / "trajectories.jsonl")
    assert trajectory.pop("group") == "g"
    assert trajectory.pop("at") > 0
    assert Trajectory.model_validate(trajectory) == TRAJECTORY
    verdict, nothing = read_jsonl(folder / "judgements.jsonl")
    assert (verdict["winner"], verdict["scores"], verdict["no_verdict"]) == ("first", [8, 3.5], None)
    assert (nothing["winner"], nothing["scores"], nothing["no_verdict"]) == (None, None, "nonsense")
    assert [row["rank"] for row in read_jsonl(folder / "rankings.jsonl")] == [0, 1]
    assert read_jsonl(folder / "updates.jsonl")[-1]["metrics"] == {"loss": BATCH / 2}


def test_jsonl_and_parquet_hold_the_same(store: RunStore, tmp_path: Path) -> None:
    lines, tables = (export(store, format, tmp_path / "out") for format in ("jsonl", "parquet"))
    assert [file.stem for file in lines] == [file.stem for file in tables]
    for jsonl, parquet in zip(lines, tables, strict=True):
        expected, found = read_jsonl(jsonl), read_parquet(parquet)
        for row in found:
            if "children" in row:
                row["children"] = json.loads(row["children"])
                row["usage"] = {role: usage for role, usage in row["usage"].items() if usage}
        assert found == expected


def test_csv_has_a_line_for_each_row_and_json_in_the_cells_that_need_it(
    store: RunStore, tmp_path: Path
) -> None:
    lines, sheets = (export(store, format, tmp_path / "out") for format in ("jsonl", "csv"))
    assert list(lines.values()) == list(sheets.values())
    for jsonl, sheet in zip(lines, sheets, strict=True):
        with sheet.open(newline="", encoding="utf-8") as cells:
            for expected, row in zip(read_jsonl(jsonl), csv.DictReader(cells), strict=True):
                assert list(row) == list(expected)
                for name, value in expected.items():
                    empty = "" if value is None else None
                    text = value if isinstance(value, str) else empty
                    assert row[name] == text if text is not None else json.loads(row[name]) == value


def test_what_a_panel_said_is_exported_with_its_verdict(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "judge", VerbConfig())
    votes = (
        Vote(judge="m1", winner="first", scores=(9, 1), usage=USAGE),
        Vote(judge="m2", winner=None, reason="down"),
    )
    verdict = Verdict(
        winner="first",
        scores=(9, 1),
        votes=votes,
        alerts=("second: a role marker",),
        dimensions={"depth": (9, 1)},
    )
    store.write(JudgementGiven(group="g", stage="r", first="a", second="b", judge="j", judgement=verdict))
    (jsonl,), (parquet,) = export(store, "jsonl"), export(store, "parquet")
    [row] = read_jsonl(jsonl)
    assert row == read_parquet(parquet)[0]
    assert [(vote["judge"], vote["winner"], vote["reason"]) for vote in row["votes"]] == [
        ("m1", "first", ""),
        ("m2", None, "down"),
    ]
    assert (row["alerts"], row["dimensions"]) == (["second: a role marker"], {"depth": [9, 1]})
    store.close()


def test_numbers_that_are_none_any_more_are_kept(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "train", VerbConfig())
    store.write(UpdateDone(step=0, phase="train", metrics={"loss": math.nan, "norm": math.inf}))
    (jsonl,), (parquet,) = export(store, "jsonl"), export(store, "parquet")
    assert read_jsonl(jsonl)[0]["metrics"] == {"loss": "NaN", "norm": "Infinity"}
    metrics = read_parquet(parquet)[0]["metrics"]
    assert math.isnan(metrics["loss"])
    assert metrics["norm"] == math.inf


def test_a_run_without_results_gives_no_files(tmp_path: Path) -> None:
    assert export(RunStore.create(tmp_path, "run", VerbConfig()), "parquet") == {}


def test_a_target_that_is_no_folder_is_named(store: RunStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write to .*file.*choose another --out"):
        export(store, "jsonl", tmp_path / "file")
