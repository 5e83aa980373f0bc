"""The database of a run: one SQLite file, with types and statements that other databases have too."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError

from palaestra.core.errors import StoreError

METADATA = sql.MetaData()

EVENTS = sql.Table(
    "events",
    METADATA,
    sql.Column("sequence", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
    sql.Column("run_id", sql.String(128), nullable=False),
    sql.Column("kind", sql.String(64), nullable=False),
    sql.Column("at", sql.Double, nullable=False),
    sql.Column("body", sql.JSON, nullable=False),
    sql.Index("events_by_kind", "run_id", "kind", "sequence"),
    sqlite_autoincrement=True,
)
"""Append-only; `sequence` is the order of writing. What is set aside gets a `kind` that nobody looks for; its
body stays."""

RESPONSES = sql.Table(
    "responses",
    METADATA,
    sql.Column("run_id", sql.String(128), primary_key=True),
    sql.Column("key", sql.String(128), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)


def create(file: Path) -> sql.Engine:
    """An engine on a new SQLite file with empty tables.

    Raises:
        StoreError: the file cannot be made.
    """
    engine = _engine(file)
    with _named(file), engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        METADATA.create_all(connection)
    return engine


def connect(file: Path) -> sql.Engine:
    """An engine on a file that `create` made. It changes nothing: any number of processes may do it at once.

    Raises:
        StoreError: the file is no such database, or cannot be opened.
    """
    engine = _engine(file)
    with _named(file), engine.connect() as connection:
        connection.execute(sql.select(EVENTS.c.sequence).limit(1))
    return engine


def _engine(file: Path) -> sql.Engine:
    """JSON columns take and give text: the models serialise themselves."""
    engine = sql.create_engine(
        sql.URL.create("sqlite", database=str(file)),
        json_serializer=_unchanged,
        json_deserializer=_unchanged,
        connect_args={"timeout": 30},
    )
    sql.event.listen(engine, "connect", _set_up_connection)
    return engine


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"cannot open {file}: {error.orig}; check the disk or restore the file") from error


def _unchanged(text: str) -> str:
    return text


def _set_up_connection(connection: sqlite3.Connection, _: object) -> None:
    """With write-ahead logging a commit outlives its process at this setting."""
    connection.execute("PRAGMA synchronous = NORMAL")
