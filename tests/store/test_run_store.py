"""A run's folder: what is written is there, in order, for every reader, however the writer ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError, StoreError
from palaestra.core.events import Event, RunStarted, TaskLoaded, UpdateDone
from palaestra.core.task import Task
from palaestra.store.run_store import PAGE, RunStore
from palaestra.store.runs import find_runs
from palaestra.store.tables import EVENTS


class Config(VerbConfig):
    epochs: int = 3


def update(step: int) -> UpdateDone:
    return UpdateDone(step=step, phase="train", metrics={"loss": 1 / (1 + step)})


def test_a_new_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "runs", "train", Config(seed=7, epochs=5))
    environment = json.loads((store.folder / "environment.json").read_text())
    assert store.folder.parent == tmp_path / "runs"
    assert store.folder.name == store.id
    assert store.id.split("-")[1] == "train"
    assert (environment["run"], environment["verb"]) == (store.id, "train")
    assert environment["packages"]["pydantic"].startswith("2.")
    assert environment["argv"] == sys.argv
    assert store.config(Config) == Config(seed=7, epochs=5)


def test_latest_leads_to_the_newest_run(tmp_path: Path) -> None:
    RunStore.create(tmp_path, "run", Config())
    newest = RunStore.create(tmp_path, "judge", Config())
    opened = RunStore.open(tmp_path / "latest")
    assert (opened.id, opened.verb, opened.folder) == (newest.id, "judge", newest.folder)


def test_a_run_keeps_its_identity_when_its_folder_is_renamed(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", Config())
    store.write(update(1))
    store.close()
    moved = RunStore.open(store.folder.rename(tmp_path / "best"))
    assert moved.id == store.id
    assert moved.last(UpdateDone) is not None


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run; `palaestra list`"):
        RunStore.open(tmp_path)
    (tmp_path / "environment.json").write_text('{"run": 3}')
    with pytest.raises(StoreError, match=r"environment\.json cannot be read"):
        RunStore.open(tmp_path)


def test_a_broken_database_is_named(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", Config())
    store.close()
    (store.folder / "run.sqlite").write_bytes(b"no database " * 100)
    with pytest.raises(StoreError, match=r"run\.sqlite: file is not a database; check the disk"):
        RunStore.open(store.folder)


def test_a_reader_sees_a_run_whole_or_not_at_all(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from palaestra.core.config import VerbConfig; from palaestra.store.run_store import RunStore\n"
        "for _ in range(60): RunStore.create(Path(sys.argv[1]), 'run', VerbConfig()).close()"
    )
    seen: set[Path] = set()
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) as writer:
        while writer.poll() is None or len(seen) < 60:
            for folder in set(find_runs(tmp_path)) - seen:
                RunStore.open(folder).close()
                seen.add(folder)
    assert writer.returncode == 0
    assert len(seen) == 60


def test_a_configuration_of_another_kind_is_refused(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", Config())
    with pytest.raises(ConfigError, match="unknown setting 'epochs'"):
        store.config(VerbConfig)


EVENT = st.one_of(
    st.builds(update, st.integers(0, 9)),
    st.builds(RunStarted, verb=st.text()),
    st.builds(TaskLoaded, task=st.builds(Task, id=st.text(), prompt=st.text(), metadata=st.just({"a": [1]}))),
)


@settings(max_examples=25, deadline=None)
@given(written=st.lists(EVENT, max_size=12))
def test_events_of_a_kind_come_back_in_written_order(written: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as root:
        store = RunStore.create(Path(root), "run", Config())
        for event in written:
            store.write(event)
        for kind in (UpdateDone, RunStarted, TaskLoaded):
            of_kind = [event for event in written if isinstance(event, kind)]
            assert list(store.events(kind)) == of_kind
            assert store.last(kind) == (of_kind[-1] if of_kind else None)
        store.close()


def test_a_reader_streams_past_its_page_and_sees_what_is_written_meanwhile(tmp_path: Path) -> None:
    writer = RunStore.create(tmp_path, "train", Config())
    reader = RunStore.open(writer.folder)
    for step in range(PAGE + 1):
        writer.write(update(step))
    steps = []
    for event in reader.events(UpdateDone):
        steps.append(event.step)
        if event.step == PAGE:
            writer.write(update(PAGE + 1))
    assert steps == list(range(PAGE + 2))


def test_runs_in_one_database_do_not_see_each_other(tmp_path: Path) -> None:
    first, second = (RunStore.create(tmp_path, "run", Config()) for _ in range(2))
    first.write(update(1))
    first.cache.put("key", "first")
    first.close()
    second.close()
    (first.folder / "run.sqlite").replace(second.folder / "run.sqlite")
    again = RunStore.open(second.folder)
    assert list(again.events(UpdateDone)) == []
    assert again.cache.get("key") is None


WRITER = """
import sys
from pathlib import Path
from palaestra.core.events import UpdateDone
from palaestra.store.run_store import RunStore

store = RunStore.open(Path(sys.argv[1]))
for step in range(1_000_000):
    store.write(UpdateDone(step=step, phase="train", metrics={}))
    store.cache.put(str(step), "answer")
    print(step, flush=True)
"""


def test_nothing_that_was_written_is_lost_with_the_process(tmp_path: Path) -> None:
    folder = RunStore.create(tmp_path, "train", Config()).folder
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "200\n":
            pass
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = 201 + len([line for line in process.stdout.readlines() if line.endswith("\n")])
    store = RunStore.open(folder)
    steps = [event.step for event in store.events(UpdateDone)]
    assert steps == list(range(len(steps)))
    assert len(steps) >= acknowledged
    assert store.cache.get(str(acknowledged - 1)) == "answer"


def test_an_event_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", Config())
    store.write(update(1))
    with store.engine.begin() as connection:
        connection.execute(EVENTS.update().values(body='{"kind": "update-done", "version": 9}'))
    with pytest.raises(StoreError, match=r"event 1 of .* cannot be read"):
        store.last(UpdateDone)


def test_the_tables_are_valid_on_postgresql() -> None:
    statement = str(CreateTable(EVENTS).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "sequence BIGSERIAL NOT NULL" in statement
    assert "body JSON NOT NULL" in statement
