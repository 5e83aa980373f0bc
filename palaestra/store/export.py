"""The results of a run as files that other tools read: one per kind, streamed in batches."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import to_json

from palaestra.core.errors import StoreError
from palaestra.core.events import JudgementGiven, RankingMade, TrajectoryFinished, UpdateDone
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.store.columns import JUDGEMENT, STANDING, TRAJECTORY, UPDATE
from palaestra.store.run_store import RunStore

Format = Literal["jsonl", "parquet", "csv"]
Row = dict[str, Any]

BATCH = 256
"""Rows held in memory, and rows of a Parquet row group."""


def export(store: RunStore, format: Format, out: Path | None = None) -> dict[Path, int]:
    """Write trajectories, judgements, rankings and updates to `out`, by default the run's folder `export`.

    Gives the number of rows of each file. A kind of which the run has nothing gets no file.

    Raises:
        StoreError: a file cannot be written.
    """
    folder = out or store.folder / "export"
    written = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows, columns in _tables(store):
            first = next(rows, None)
            if first is not None:
                file = folder / f"{name}.{format}"
                written[file] = _WRITERS[format](chain([first], rows), columns, file)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error
    return written


def _tables(store: RunStore) -> Iterator[tuple[str, Iterator[Row], pa.Schema]]:
    yield "trajectories", map(_trajectory, store.events(TrajectoryFinished)), TRAJECTORY
    yield "judgements", map(_judgement, store.events(JudgementGiven)), JUDGEMENT
    yield "rankings", chain.from_iterable(map(_standings, store.events(RankingMade))), STANDING
    yield "updates", map(_update, store.events(UpdateDone)), UPDATE


def _trajectory(event: TrajectoryFinished) -> Row:
    return {"at": event.at, "group": event.group, **event.trajectory.model_dump()}


def _judgement(event: JudgementGiven) -> Row:
    verdict = event.judgement if isinstance(event.judgement, Verdict) else None
    return {
        **event.model_dump(include={"at", "group", "stage", "first", "second", "attempt", "judge"}),
        "winner": verdict and verdict.winner,
        "scores": verdict and verdict.scores,
        "rationale": verdict and verdict.rationale,
        "no_verdict": event.judgement.reason if isinstance(event.judgement, NoVerdict) else None,
        "dimensions": verdict and verdict.dimensions,
        "alerts": verdict and verdict.alerts,
        "votes": [vote.model_dump() for vote in event.judgement.votes],
        "request": event.judgement.request,
        "usage": event.judgement.usage.model_dump(),
    }


def _standings(event: RankingMade) -> Iterator[Row]:
    common = {"at": event.at, "group": event.group, "undecided": event.ranking.undecided}
    for standing in event.ranking.standings:
        yield common | standing.model_dump()


def _update(event: UpdateDone) -> Row:
    return event.model_dump(include={"at", "step", "phase", "metrics"})


def _write_jsonl(rows: Iterable[Row], columns: pa.Schema, file: Path) -> int:
    count = 0
    with file.open("wb") as lines:
        for row in rows:
            lines.write(_json({name: row[name] for name in columns.names}) + b"\n")
            count += 1
    return count


def _write_parquet(rows: Iterable[Row], columns: pa.Schema, file: Path) -> int:
    count, remaining = 0, iter(rows)
    with pq.ParquetWriter(file, columns) as writer:
        while batch := [_flat(row) for row in islice(remaining, BATCH)]:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=columns))
            count += len(batch)
    return count


def _write_csv(rows: Iterable[Row], columns: pa.Schema, file: Path) -> int:
    """One line of text per row; what is no text and no number is JSON."""
    count = 0
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns.names)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in columns.names])
            count += 1
    return count


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else _json(value).decode()


def _flat(row: Row) -> Row:
    return row | {"children": _json(row["children"])} if "children" in row else row


def _json(value: Any) -> bytes:
    return to_json(value, inf_nan_mode="strings")


_WRITERS: dict[Format, Callable[[Iterable[Row], pa.Schema, Path], int]] = {
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "csv": _write_csv,
}
