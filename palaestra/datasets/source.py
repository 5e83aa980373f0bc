"""Where tasks and answers are read from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from palaestra.core.record import Record
from palaestra.datasets.longcontext.published import Benchmark

FieldName = Literal[
    "id",
    "prompt",
    "answer_format",
    "answer_schema",
    "context",
    "reference",
    "family",
    "rubric",
    "metadata",
    "answer",
    "steps",
]


class DataSource(Record):
    """A file, a run or a data set of the Hugging Face hub. Its bare path is enough: `a.jsonl`."""

    path: str
    """A .jsonl or .parquet file, the folder of an earlier run, or hub:<owner>/<name>."""
    subset: str | None = None
    """Hub only: which configuration of a data set that has several."""
    split: str = "train"
    """Hub only."""
    fields: Mapping[FieldName, str] = Field(default_factory=dict)
    """The source's own names, where they differ from ours: {prompt: instruction, answer: output}."""

    benchmark: Benchmark | None = None
    """Of tasks only: the rows are those of a published benchmark, with its own fields; null: with ours."""

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value


class AnswerSource(DataSource):
    """One system's answers."""

    name: str | None = None
    """What the system is called; null takes the name of the file or folder."""
