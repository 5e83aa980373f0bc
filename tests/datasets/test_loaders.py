"""Tasks and answers from files: what is read, and what is said of a file that cannot be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError, DataError, PalaestraError, StoreError
from palaestra.core.events import TaskLoaded, TrajectoryFinished
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.core.trajectory import Step, Trajectory
from palaestra.datasets.loaders import load_answers, load_tasks
from palaestra.datasets.source import AnswerSource, DataSource
from palaestra.store.run_store import RunStore

Rows = Sequence[Mapping[str, object]]


def write(file: Path, *lines: str | bytes | Mapping[str, object]) -> str:
    raw = [json.dumps(line) if isinstance(line, Mapping) else line for line in lines]
    file.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in raw) + b"\n")
    return str(file)


def write_as(kind: str, folder: Path, rows: Rows) -> str:
    if kind == "jsonl":
        return write(folder / "rows.jsonl", *rows)
    file = folder / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), file)
    return str(file)


ROWS: Rows = [
    {"id": 7, "prompt": "Sing.", "context": "A hall.", "reference": "La.", "family": "song", "other": 1},
    {"id": 8, "prompt": "Dance.", "context": None, "reference": None, "family": None, "other": 2},
    {"id": 9, "prompt": "Rest.", "context": None, "reference": None, "family": None, "other": 3},
]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_become_tasks_and_other_columns_are_left(kind: str, tmp_path: Path) -> None:
    tasks = load_tasks(DataSource(path=write_as(kind, tmp_path, ROWS)), limit=2)
    assert tasks == [
        Task(id="7", prompt="Sing.", context="A hall.", reference="La.", family="song"),
        Task(id="8", prompt="Dance."),
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_columns_of_other_names_are_mapped_and_a_row_without_id_gets_one(kind: str, tmp_path: Path) -> None:
    rows = [{"instruction": f"Say {n}.", "output": f"{n}!"} for n in range(600)]
    source = AnswerSource(
        path=write_as(kind, tmp_path, rows), fields={"prompt": "instruction", "answer": "output"}
    )
    answers = load_answers(source, "parrot")
    assert len(answers) == 600
    task, trajectory = answers[599]
    assert task == Task(id=digest("Say 599.")[:12], prompt="Say 599.")
    assert trajectory == Trajectory(
        id=f"parrot/{task.id}", task_id=task.id, agent="parrot", status="finished", answer="599!"
    )


def test_a_tasks_own_dump_is_read_back(tmp_path: Path) -> None:
    task = Task.model_validate(
        {
            "id": "x",
            "prompt": "Go.",
            "rubric": {"dimensions": [{"name": "speed", "description": "Fast.", "weight": 2}]},
            "metadata": {"wishes": ["park"], "budget": 3},
        }
    )
    file = write(tmp_path / "t.jsonl", task.model_dump_json())
    assert load_tasks(DataSource(path=file)) == [task]


def test_steps_are_evidence_and_a_null_answer_is_a_failure(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        {"id": "1", "prompt": "p", "answer": "done", "steps": [{"thought": "hm", "observation": "o"}]},
        {"id": "2", "prompt": "q", "answer": None},
    )
    (_, first), (_, second) = load_answers(AnswerSource(path=file), "s")
    assert first.steps == (Step(thought="hm", observation="o"),)
    assert (second.status, second.answer, second.reason) == ("error", "", "the file has no answer")


def test_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + b'{"prompt": "p"}', "", "  ", {"prompt": "q"})
    assert [task.prompt for task in load_tasks(DataSource(path=file))] == ["p", "q"]


GOOD = '{"id": 1, "prompt": "p"}'


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            [GOOD, '{"id": 2, "prompt": "q"'],
            "line 2 is not valid JSON: EOF while parsing an object at column",
        ),
        ([GOOD, "", "id: 3"], "line 3 is not valid JSON: expected value at column 1; correct or remove it"),
        ([GOOD, b'{"prompt": "\xff"}'], "line 2 is not UTF-8 (byte 12); convert the file"),
        ([GOOD, '{"prompt": "\\ud800"}'], "line 2 is not valid JSON"),
        ([GOOD, '{"prompt": NaN}'], "line 2 is not valid JSON"),
        ([GOOD, '["prompt"]'], "line 2 holds a list; each line must be one JSON object"),
        ([GOOD, GOOD], "line 2 repeats the id '1' of "),
        (
            [GOOD, '{"id": 2, "question": "q"}'],
            "line 2 has no 'prompt', but id, question; name the right one",
        ),
        ([GOOD, '{"id": 2, "prompt": 5}'], "line 2: prompt: Input should be a valid string; correct the row"),
        ([GOOD, '{"id": 2, "prompt": null}'], "line 2: prompt: Field required"),
        (
            ['{"prompt": "p", "rubric": {"dimensions": []}}'],
            "line 1: rubric.dimensions: Tuple should have at",
        ),
        (["", " "], "holds no rows; check the path"),
    ],
)
def test_a_malformed_file_is_told_with_its_line(
    lines: Sequence[str | bytes], message: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "bad.jsonl", *lines)
    with pytest.raises(DataError) as caught:
        load_tasks(DataSource(path=file))
    assert str(caught.value).startswith(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_before_a_malformed_one_are_enough_for_a_limit(tmp_path: Path) -> None:
    file = write(tmp_path / "bad.jsonl", GOOD, "nonsense")
    assert [task.id for task in load_tasks(DataSource(path=file), limit=1)] == ["1"]


def test_a_mapped_column_must_be_there(tmp_path: Path) -> None:
    source = DataSource(path=write(tmp_path / "a.jsonl", GOOD), fields={"context": "document"})
    with pytest.raises(DataError, match=r"line 1 has no 'document', .*fields: \{context: …\}"):
        load_tasks(source)
    with pytest.raises(DataError, match="line 1 has no 'answer'"):
        load_answers(AnswerSource(path=source.path), "s")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("missing.jsonl", None, DataError, "No such file or directory; check the path"),
        ("missing.parquet", None, DataError, "cannot read"),
        ("bad.parquet", b"PAR1 or not", DataError, "is not a Parquet file"),
        ("a.csv", b"id,prompt", ConfigError, "give a .jsonl, .json or .parquet file or hub:<owner>/<name>"),
    ],
)
def test_a_file_that_cannot_be_read(
    name: str, content: bytes | None, error: type[PalaestraError], message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        load_tasks(DataSource(path=str(tmp_path / name)))
    assert name in str(caught.value)
    assert caught.value.exit_code == 2


WITHOUT_DATASETS = """
import sys
sys.modules["datasets"] = None  # what the import system keeps for a module that must not be found
from palaestra.core.errors import ConfigError
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.source import DataSource
try:
    load_tasks(DataSource(path="hub:owner/name"))
except ConfigError as error:
    print(error)
"""


def test_the_hub_needs_its_package_and_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DATASETS], capture_output=True, text=True, check=True
    )
    assert "not installed: pip install 'palaestra[hub]'" in done.stdout


def test_answers_of_an_earlier_run_bear_the_systems_name(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    empty = RunStore.create(tmp_path, "run", VerbConfig())
    task = Task(id="t", prompt="p", metadata={"k": 1})
    made = Trajectory(id="rlm-0", task_id="t", agent="rlm", status="limit", answer="", reason="turns")
    store.write(TaskLoaded(task=task))
    store.write(TrajectoryFinished(trajectory=made))
    [answer] = load_answers(AnswerSource(path=str(store.folder)), "new")
    assert answer.task == task
    assert answer.trajectory == made.model_copy(update={"id": "new/rlm-0", "agent": "new"})
    with pytest.raises(DataError, match="holds no trajectories"):
        load_answers(AnswerSource(path=str(empty.folder)), "new")
    with pytest.raises(StoreError, match="holds no run"):
        load_answers(AnswerSource(path=str(tmp_path)), "new")
    for each in (store, empty):
        each.close()


def test_a_bare_path_is_a_source_and_a_misspelt_field_is_an_error() -> None:
    assert DataSource.model_validate("a.jsonl") == DataSource(path="a.jsonl")
    with pytest.raises(ValueError, match="Input should be 'id', 'prompt'"):
        DataSource.model_validate({"path": "a.jsonl", "fields": {"promt": "x"}})
