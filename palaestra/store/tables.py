"""The database of a run: one SQLite file, with types and statements that other databases have too."""

from __future__ import annotations

import sqlite3
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
"""Append-only; `sequence` is the order of writing."""

RESPONSES = sql.Table(
    "responses",
    METADATA,
    sql.Column("run_id", sql.String(128), primary_key=True),
    sql.Column("key", sql.String(128), primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)


def connect(file: Path) -> sql.Engine:
    """An engine on an SQLite file, whose tables are made when missing.

    JSON columns take and give text: the models serialise themselves.

    Raises:
        StoreError: the file is no such database, or cannot be opened.
    """
    engine = sql.create_engine(
        sql.URL.create("sqlite", database=str(file)),
        json_serializer=_unchanged,
        json_deserializer=_unchanged,
        connect_args={"timeout": 30},
    )
    sql.event.listen(engine, "connect", _set_up_connection)
    try:
        METADATA.create_all(engine)
    except DBAPIError as error:
        raise StoreError(f"cannot open {file}: {error.orig}; check the disk or restore the file") from error
    return engine


def _unchanged(text: str) -> str:
    return text


def _set_up_connection(connection: sqlite3.Connection, _: object) -> None:
    """Write-ahead logging: readers work while the run writes, and a commit outlives its process."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
