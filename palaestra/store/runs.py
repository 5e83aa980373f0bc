"""What became of a run, without reading it whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import sqlalchemy as sql

from palaestra.core.budget import Budget, Meter
from palaestra.core.events import RunFinished, RunStarted, TrajectoryFinished
from palaestra.core.record import Record
from palaestra.core.usage import Role, Usage, add_by_role
from palaestra.store.lock import is_held
from palaestra.store.run_store import RunStore
from palaestra.store.tables import EVENTS

State = Literal["running", "unfinished", "done", "failures", "limit", "interrupted", "error"]
"""running: a process works on it now; unfinished: its process died; the others: how it finished."""


class RunSummary(Record):
    """One line about a run."""

    id: str
    verb: str
    state: State
    reason: str
    """Why it stopped, where there is more to say than the state."""
    counts: Mapping[str, int]
    """Events by kind."""
    usage: Mapping[Role, Usage]
    """What the run consumed so far."""


def find_runs(root: Path) -> list[Path]:
    """The folders of the runs under `root`, oldest first; without `latest`, and what becomes it soon."""
    folders = (file.parent for file in root.glob("[!.]*/environment.json"))
    return sorted(folder for folder in folders if not folder.is_symlink())


def summarize(store: RunStore) -> RunSummary:
    """The state of a run, by counting in the database."""
    finished = store.last(RunFinished) if _ended(store) else None
    return RunSummary(
        id=store.id,
        verb=store.verb,
        state=finished.status if finished else "running" if is_held(store.folder) else "unfinished",
        reason=finished.reason if finished else "",
        counts=_counts(store),
        usage=finished.usage if finished and finished.usage else spent(store),
    )


def spent(store: RunStore) -> dict[Role, Usage]:
    """What the run's own calls and judgements consumed so far, by role; answers from the cache are free."""
    body = EVENTS.c.body
    made = sql.and_(EVENTS.c.kind == "call-made", sql.not_(body["cached"].as_boolean()))
    calls = _add_up(store, body["role"].as_string(), ("usage",), made)
    judgements = _add_up(
        store, sql.literal("judge"), ("judgement", "usage"), EVENTS.c.kind == "judgement-given"
    )
    return add_by_role(calls, judgements)


def run_meter(store: RunStore, max_cost: float | None) -> Meter:
    """The account of a whole run, which begins with what its earlier starts consumed."""
    meter = Meter(Budget(turns=None, cost=max_cost), prefix="max_", counts_cached=False)
    for role, usage in spent(store).items():
        meter.charge(role, usage)
    return meter


def find_trajectory(store: RunStore, trajectory_id: str) -> TrajectoryFinished | None:
    """The finished trajectory of that name, found in the database."""
    wanted = (
        sql.select(EVENTS.c.body)
        .where(EVENTS.c.run_id == store.id, EVENTS.c.kind == "trajectory-finished")
        .where(EVENTS.c.body[("trajectory", "id")].as_string() == trajectory_id)
        .limit(1)
    )
    with store.engine.connect() as connection:
        body = connection.execute(wanted).scalar()
    return TrajectoryFinished.model_validate_json(body) if body else None


def _ended(store: RunStore) -> bool:
    """Whether the last start of the run's process was followed by its end."""
    kinds = (RunStarted.model_fields["kind"].default, RunFinished.model_fields["kind"].default)
    latest = (
        sql.select(EVENTS.c.kind)
        .where(EVENTS.c.run_id == store.id, EVENTS.c.kind.in_(kinds))
        .order_by(EVENTS.c.sequence.desc())
        .limit(1)
    )
    with store.engine.connect() as connection:
        return bool(connection.execute(latest).scalar() == kinds[1])


def _counts(store: RunStore) -> dict[str, int]:
    kinds = (
        sql.select(EVENTS.c.kind, sql.func.count()).where(EVENTS.c.run_id == store.id).group_by(EVENTS.c.kind)
    )
    with store.engine.connect() as connection:
        return {kind: count for kind, count in connection.execute(kinds)}


def _add_up(
    store: RunStore, role: sql.ColumnElement[str], path: tuple[str, ...], where: sql.ColumnElement[bool]
) -> dict[Role, Usage]:
    """The usage under `path` in the bodies of some events, summed in the database."""

    def total(field: str) -> sql.ColumnElement[float]:
        return sql.func.sum(EVENTS.c.body[(*path, field)].as_float()).label(field)

    cost = EVENTS.c.body[(*path, "cost")].as_float()
    fields = [total(field) for field in Usage.model_fields]
    unpriced = (sql.func.count() - sql.func.count(cost)).label("unpriced")
    sums = (
        sql.select(role.label("role"), unpriced, *fields)
        .where(EVENTS.c.run_id == store.id, where)
        .group_by(sql.text("role"))
    )
    with store.engine.connect() as connection:
        rows = connection.execute(sums).mappings().all()
    accounts = {
        row["role"]: Usage.model_validate(
            {field: row[field] for field in Usage.model_fields} | ({"cost": None} if row["unpriced"] else {})
        )
        for row in rows
    }
    return {role: usage for role, usage in accounts.items() if usage.calls}
