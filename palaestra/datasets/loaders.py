"""Tasks and answers from a user's own files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from palaestra.core.errors import DataError
from palaestra.core.events import TaskLoaded, TrajectoryFinished
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.longcontext.published import READERS, Benchmark
from palaestra.datasets.rows import Row, read_rows
from palaestra.datasets.source import AnswerSource, DataSource, FieldName
from palaestra.store.run_store import RunStore

M = TypeVar("M", bound=BaseModel)


class Answer(NamedTuple):
    """What one system answered to a task."""

    task: Task
    trajectory: Trajectory


def load_tasks(source: DataSource, limit: int | None = None) -> list[Task]:
    """The first `limit` tasks of a source.

    A row without an id gets one made of its prompt. Rows of a published benchmark are read as it writes them.

    Raises:
        DataError: the source cannot be read, holds no row, or a row is malformed, lacks a field or
            repeats an id; the message names the line.
    """
    if source.benchmark is not None:
        return [_published(source.benchmark, row) for row in islice(read_rows(source), limit)]
    rows = _fields(source)
    return [_task(row) for row in islice(rows, limit)]


def load_answers(source: AnswerSource, system: str) -> list[Answer]:
    """What `system` answered: a file's rows with prompt and answer, or the trajectories of an earlier run.

    Raises:
        DataError: as for tasks.
        StoreError: the folder holds no run.
    """
    if Path(source.path).is_dir():
        return _of_run(Path(source.path), system)
    return [_answer(row, system) for row in _fields(source)]


def _of_run(folder: Path, system: str) -> list[Answer]:
    store = RunStore.open(folder)
    tasks = {event.task.id: event.task for event in store.events(TaskLoaded)}
    answers = [
        Answer(tasks[trajectory.task_id], _renamed(trajectory, system))
        for trajectory in (event.trajectory for event in store.events(TrajectoryFinished))
    ]
    store.close()
    if not answers:
        raise DataError(f"the run {folder} holds no trajectories; give one that has finished some")
    return answers


def _renamed(trajectory: Trajectory, system: str) -> Trajectory:
    """Told apart from those of other runs, whose agents may bear the same names."""
    return trajectory.model_copy(update={"id": f"{system}/{trajectory.id}", "agent": system})


def _fields(source: DataSource) -> Iterator[Row]:
    """The rows under our names, without the columns that we have no name for."""
    columns = {name: source.fields.get(name, name) for name in get_args(FieldName)}
    seen: dict[str, str] = {}
    for place, values in read_rows(source):
        for name, column in columns.items():
            if column not in values and (name in source.fields or name == "prompt"):
                raise DataError(_missing(place, name, column, values))
        row = {name: values[column] for name, column in columns.items() if column in values}
        row["id"] = str(row["id"]) if row.get("id") is not None else digest(row["prompt"])[:12]
        if row["id"] in seen:
            raise DataError(f"{place} repeats the id {row['id']!r} of {seen[row['id']]}; make ids unique")
        seen[row["id"]] = place
        yield Row(place, row)
    if not seen:
        raise DataError(f"{source.path} holds no rows; check the path")


def _missing(place: str, name: str, column: str, values: Mapping[str, Any]) -> str:
    return (
        f"{place} has no {column!r}, but {', '.join(values) or 'nothing'}; "
        f"name the right one in the settings: fields: {{{name}: …}}"
    )


def _task(row: Row) -> Task:
    wanted = {
        name: value for name, value in row.values.items() if name in Task.model_fields and value is not None
    }
    return _validate(Task, wanted, row.place)


def _published(benchmark: Benchmark, row: Row) -> Task:
    try:
        return READERS[benchmark](row.values)
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{row.place} is no row of {benchmark}: {error!r}; check tasks.benchmark") from error


def _answer(row: Row, system: str) -> Answer:
    if "answer" not in row.values:
        raise DataError(_missing(row.place, "answer", "answer", row.values))
    task, answer = _task(row), row.values["answer"]
    fields: dict[str, Any] = {"status": "finished", "answer": answer, "steps": row.values.get("steps") or ()}
    if answer is None:
        fields |= {"status": "error", "answer": "", "reason": "the file has no answer"}
    identity = {"id": f"{system}/{task.id}", "task_id": task.id, "agent": system}
    return Answer(task, _validate(Trajectory, {**identity, **fields}, row.place))


def _validate(schema: type[M], values: Mapping[str, Any], place: str) -> M:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise DataError(f"{place}: {key}: {problem['msg']}; correct the row") from error
