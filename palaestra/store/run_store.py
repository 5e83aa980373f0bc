"""A run on disk: a folder with the configuration, the environment and one database of events."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sql
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError

from palaestra.core.config import VerbConfig, resolve, to_yaml
from palaestra.core.errors import StoreError
from palaestra.core.events import BaseEvent, Event, any_event
from palaestra.store.cache import ResponseCache
from palaestra.store.environment import Environment
from palaestra.store.tables import EVENTS, connect, create

C = TypeVar("C", bound=BaseModel)
E = TypeVar("E", bound=BaseEvent)

DATABASE = "run.sqlite"

PAGE = 64
"""Events read at once: a reader holds this many bodies, and no transaction between two pages."""


class RunStore:
    """The record of one run: append events, read them back in order, from any number of processes.

    One process writes (see `palaestra.store.lock`); others may read meanwhile. An event is on disk when
    `write` returns, and stays there however the process ends.
    """

    def __init__(self, folder: Path, environment: Environment) -> None:
        self.id = environment.run
        self.folder = folder
        self.verb = environment.verb
        self.engine = connect(folder / DATABASE)
        self.cache = ResponseCache(self.engine, self.id)

    @classmethod
    def create(cls, root: Path, verb: str, config: VerbConfig) -> RunStore:
        """Make the folder of a new run under `root`, named by time and verb, and point `root/latest` to it.

        Raises:
            StoreError: the folder cannot be made.
        """
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{verb}-{secrets.token_hex(2)}"
        folder = root.absolute() / run
        environment = Environment.of_this_process(run, verb)
        try:
            folder.mkdir(parents=True)
            (folder / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
            create(folder / DATABASE).dispose()
            unfinished = folder / "environment.json.new"
            unfinished.write_text(environment.model_dump_json(indent=2), encoding="utf-8")
            # Last of all, and whole at once: with this file the folder is a run for readers elsewhere.
            unfinished.rename(folder / "environment.json")
            point_latest_to(folder)
        except OSError as error:
            raise StoreError(
                f"cannot make the run {folder}: {error.strerror}; choose another --out"
            ) from error
        return cls(folder, environment)

    @classmethod
    def open(cls, folder: Path) -> RunStore:
        """A run that was made before.

        Raises:
            StoreError: the folder holds no run, or one that cannot be read.
        """
        folder = folder.resolve()
        try:
            environment = Environment.model_validate_json((folder / "environment.json").read_bytes())
        except OSError as error:
            raise StoreError(f"{folder} holds no run; `palaestra list` shows those there are") from error
        except ValidationError as error:
            raise StoreError(
                f"{folder}/environment.json cannot be read; restore it or remove the run"
            ) from error
        return cls(folder, environment)

    def config(self, schema: type[C]) -> C:
        """The resolved configuration that the run was made with.

        Raises:
            ConfigError: it does not fit the schema.
        """
        return resolve(schema, self.folder / "config.yaml")

    def write(self, event: Event) -> None:
        """Append one event. It is on disk when this returns.

        Raises:
            StoreError: the database cannot be written.
        """
        row = {"run_id": self.id, "kind": event.kind, "at": event.at, "body": event.model_dump_json()}
        try:
            with self.engine.begin() as connection:
                connection.execute(sql.insert(EVENTS), row)
        except DBAPIError as error:
            raise StoreError(f"cannot write to {self.folder}: {error.orig}; make room and resume") from error

    def events(self, kind: type[E]) -> Iterator[E]:
        """Every event of a kind in written order, those written meanwhile included.

        Raises:
            StoreError: an event does not fit this version of Palaestra.
        """
        after = 0
        while page := self._read(kind, EVENTS.c.sequence > after, EVENTS.c.sequence.asc(), PAGE):
            for row in page:
                after = row.sequence
                yield self._parse(kind, row)

    def last(self, kind: type[E]) -> E | None:
        """The latest event of a kind.

        Raises:
            StoreError: it does not fit this version of Palaestra.
        """
        page = self._read(kind, sql.true(), EVENTS.c.sequence.desc(), 1)
        return self._parse(kind, page[0]) if page else None

    def close(self) -> None:
        """Release the database. Safe to call twice."""
        self.engine.dispose()

    def _read(
        self, kind: type[E], where: sql.ColumnElement[bool], order: sql.UnaryExpression[int], limit: int
    ) -> Sequence[sql.Row[int, str]]:
        name = kind.model_fields["kind"].default
        wanted = (
            sql.select(EVENTS.c.sequence, EVENTS.c.body)
            .where(EVENTS.c.run_id == self.id, EVENTS.c.kind == name, where)
            .order_by(order)
            .limit(limit)
        )
        with self.engine.connect() as connection:
            return connection.execute(wanted).all()

    def _parse(self, kind: type[E], row: sql.Row[int, str]) -> E:
        try:
            event = any_event.validate_json(row.body)
        except ValidationError as error:
            raise StoreError(
                f"event {row.sequence} of {self.folder} cannot be read: {error.errors()[0]['msg']}; "
                "use the version named in its environment.json"
            ) from error
        assert isinstance(event, kind)
        return event


def point_latest_to(folder: Path) -> None:
    """Make the link `latest` beside a run's folder lead to it."""
    link, new = folder.parent / "latest", folder.parent / f".latest-{folder.name}"
    new.symlink_to(folder.name, target_is_directory=True)
    os.replace(new, link)
