"""The journal of a run's trajectories: their steps are events, their variables are files."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sql

from palaestra.core.errors import StoreError
from palaestra.core.events import BaseEvent, ChildFinished, StepTaken
from palaestra.core.trajectory import Trajectory
from palaestra.store.run_store import RunStore
from palaestra.store.tables import EVENTS

FOLDER = "sessions"


class RunJournal:
    """Finds the steps that were written before it was made."""

    def __init__(self, store: RunStore) -> None:
        self.folder = store.folder / FOLDER
        self._engine = store.engine
        self._steps = self._sequences(store, StepTaken, "trajectory_id")
        self._children = self._sequences(store, ChildFinished, "trajectory", "id")

    def of(self, root: str) -> TreeJournal:
        """The journal of one trajectory and of all below it."""
        return TreeJournal(self, root)

    def steps(self, trajectory_id: str) -> Sequence[StepTaken]:
        return [StepTaken.model_validate_json(body) for body in self._bodies(self._steps[trajectory_id])]

    def child(self, trajectory_id: str) -> Trajectory | None:
        for body in self._bodies(self._children[trajectory_id]):
            return ChildFinished.model_validate_json(body).trajectory
        return None

    def _sequences(self, store: RunStore, kind: type[BaseEvent], *path: str) -> defaultdict[str, list[int]]:
        """The places of the events of a kind, by the name of the trajectory that they are about."""
        wanted = (
            sql.select(EVENTS.c.sequence, EVENTS.c.body[path].as_string())
            .where(EVENTS.c.run_id == store.id, EVENTS.c.kind == kind.model_fields["kind"].default)
            .order_by(EVENTS.c.sequence)
        )
        places = defaultdict[str, list[int]](list)
        with self._engine.connect() as connection:
            for sequence, name in connection.execute(wanted):
                places[name].append(sequence)
        return places

    def _bodies(self, places: Sequence[int]) -> Sequence[str]:
        wanted = sql.select(EVENTS.c.body).where(EVENTS.c.sequence.in_(places)).order_by(EVENTS.c.sequence)
        with self._engine.connect() as connection:
            return connection.execute(wanted).scalars().all()


class TreeJournal:
    """Keeps the variables of one tree in a folder of its own.

    They are bytes to everyone but the sandbox that they came from.
    """

    def __init__(self, run: RunJournal, root: str) -> None:
        self.steps = run.steps
        self.child = run.child
        self._root = root
        self._folder = run.folder / _stem(root)

    def keep(self, trajectory_id: str, step: int, session: bytes) -> str:
        name = f"{_stem(trajectory_id)}-{step}"
        unfinished = self._folder / f"{name}.new"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished.write_bytes(session)
            os.replace(unfinished, self._folder / name)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._folder}: {error.strerror}; make room and resume"
            ) from error
        (self._folder / f"{_stem(trajectory_id)}-{step - 2}").unlink(missing_ok=True)
        return name

    def session(self, name: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise StoreError(
                f"the variables {self._folder / name} cannot be read: {error.strerror}; restore the file"
            ) from error

    def forget(self, trajectory_id: str) -> None:
        if trajectory_id == self._root:
            shutil.rmtree(self._folder, ignore_errors=True)
        for file in self._folder.glob(f"{_stem(trajectory_id)}-*"):
            file.unlink(missing_ok=True)


def _stem(trajectory_id: str) -> str:
    return hashlib.sha256(trajectory_id.encode()).hexdigest()[:32]
