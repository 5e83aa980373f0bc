"""Rows of JSON, JSONL and Parquet files and of the Hugging Face hub, one at a time, with their places."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet
from pydantic_core import from_json

from palaestra.core.errors import ConfigError, DataError
from palaestra.datasets.source import DataSource

HUB = "hub:"


class Row(NamedTuple):
    place: str
    """As a message names it: `answers.jsonl line 3`."""
    values: dict[str, Any]


def read_rows(source: DataSource) -> Iterator[Row]:
    """
    Raises:
        DataError: the source cannot be read, or a line of it is no JSON object.
        ConfigError: the kind of source is unknown, or the hub's package is not installed.
    """
    if source.path.startswith(HUB):
        return _read_hub(source)
    file = Path(source.path)
    readers = {".json": _read_json, ".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".parquet": _read_parquet}
    if file.suffix not in readers:
        raise ConfigError(
            f"cannot tell what {file} is; give a .jsonl, .json or .parquet file or {HUB}<owner>/<name> "
            "(and settings after --set)"
        )
    return readers[file.suffix](file)


def _read_jsonl(file: Path) -> Iterator[Row]:
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parse(line, f"{file} line {number}")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check the path") from error


def _read_json(file: Path) -> Iterator[Row]:
    """A list of objects."""
    try:
        values = from_json(file.read_bytes(), allow_inf_nan=False)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}; check the path") from error
    except ValueError as error:
        raise DataError(f"{file} is not valid JSON: {error}; correct it") from error
    if not (isinstance(values, list) and all(isinstance(row, dict) for row in values)):
        raise DataError(f"{file} must hold a list of JSON objects")
    for number, row in enumerate(values, 1):
        yield Row(f"{file} row {number}", row)


def _parse(line: bytes, place: str) -> Row:
    try:
        text = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
        values = from_json(text.rstrip(), allow_inf_nan=False)
    except UnicodeDecodeError as error:
        raise DataError(f"{place} is not UTF-8 (byte {error.start}); convert the file") from error
    except ValueError as error:
        problem = str(error).replace(" at line 1 column", " at column")
        raise DataError(f"{place} is not valid JSON: {problem}; correct or remove it") from error
    if not isinstance(values, dict):
        raise DataError(f"{place} holds a {type(values).__name__}; each line must be one JSON object")
    return Row(place, values)


def _read_parquet(file: Path) -> Iterator[Row]:
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=256):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(f"{file} row {number}", values)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}; check the path") from error
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{file} is not a Parquet file: {error}; write it again") from error


def _read_hub(source: DataSource) -> Iterator[Row]:
    try:
        hub = importlib.import_module("datasets")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{source.path} needs Hugging Face datasets, which is not installed: pip install 'palaestra[hub]'"
        ) from error
    name = source.path.removeprefix(HUB)
    try:
        rows = hub.load_dataset(name, source.subset, split=source.split, streaming=True)
        for number, values in enumerate(rows, 1):
            yield Row(f"{source.path} row {number}", values)
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DataError(f"cannot load {source.path}: {problem}; check name, subset and split") from error
