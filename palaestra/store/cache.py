"""Answers that were paid for, found again by a resumed run."""

from __future__ import annotations

import sqlalchemy as sql

from palaestra.store.tables import RESPONSES


class ResponseCache:
    """Texts by key, kept in the run's database: a resumed run never pays twice, a new run starts empty.

    The key is the caller's, up to 128 characters: a digest of everything that the answer depends on.
    """

    def __init__(self, engine: sql.Engine, run_id: str) -> None:
        self._engine = engine
        self._run_id = run_id

    def get(self, key: str) -> str | None:
        wanted = sql.select(RESPONSES.c.value).where(self._is(key))
        with self._engine.connect() as connection:
            return connection.execute(wanted).scalar()

    def put(self, key: str, value: str) -> None:
        """Keep `value` durably; a value already there under `key` is replaced."""
        with self._engine.begin() as connection:
            connection.execute(sql.delete(RESPONSES).where(self._is(key)))
            connection.execute(sql.insert(RESPONSES).values(run_id=self._run_id, key=key, value=value))

    def _is(self, key: str) -> sql.ColumnElement[bool]:
        return sql.and_(RESPONSES.c.run_id == self._run_id, RESPONSES.c.key == key)
