"""What became of a run, without reading it whole."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import sqlalchemy as sql

from palaestra.core.budget import Budget, Meter
from palaestra.core.events import Event, RunFinished, RunStarted, TrajectoryFinished, UpdateDone
from palaestra.core.record import Record
from palaestra.core.usage import Role, Usage, add_by_role
from palaestra.store.lock import is_held
from palaestra.store.run_store import RunStore, point_latest_to
from palaestra.store.tables import EVENTS, RESPONSES

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
    """Events, by what they are counted as."""
    usage: Mapping[Role, Usage]
    """What the run consumed so far."""


def counted_as(event: Event) -> str:
    """What an event is counted as: its kind, but of updates and evaluations the phase."""
    return event.phase if isinstance(event, UpdateDone) else event.kind


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


def reopen_failed(store: RunStore) -> int:
    """Set aside the trajectories that ended with an error, and the end of the run, if there are any: then the
    run has not finished them. Gives their number."""
    own, kind = EVENTS.c.run_id == store.id, EVENTS.c.kind
    failed = EVENTS.c.body[("trajectory", "status")].as_string() == "error"
    with store.engine.begin() as connection:
        trajectories = sql.update(EVENTS).where(own, kind == "trajectory-finished", failed)
        number = connection.execute(trajectories.values(kind="trajectory-set-aside")).rowcount
        if number:
            ends = sql.update(EVENTS).where(own, kind == "run-finished")
            connection.execute(ends.values(kind="run-set-aside"))
    return number


def came_to_nothing(store: RunStore) -> bool:
    """Whether the run was started once only and left nothing but its tasks: no result, no answer paid for."""
    counts, answers = _counts(store), sql.select(RESPONSES.c.key).where(RESPONSES.c.run_id == store.id)
    with store.engine.connect() as connection:
        has_answers = connection.execute(answers.limit(1)).first() is not None
    only_began = counts.keys() <= {"run-started", "task-loaded", "run-finished"}
    return counts.get("run-started") == 1 and only_began and not has_answers


def remove(store: RunStore) -> None:
    """Delete a run; `latest` leads to the newest of the others then, if there is one."""
    store.close()
    shutil.rmtree(store.folder)
    others, latest = find_runs(store.folder.parent), store.folder.parent / "latest"
    if others and not latest.exists():
        point_latest_to(others[-1])
    elif not others:
        latest.unlink(missing_ok=True)


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
    """By what is counted. The bodies of updates alone are read: others can be long."""
    update = UpdateDone.model_fields["kind"].default
    own = EVENTS.c.run_id == store.id
    phase = EVENTS.c.body["phase"].as_string()
    kinds = sql.select(EVENTS.c.kind, sql.func.count()).where(own, EVENTS.c.kind != update)
    phases = sql.select(phase, sql.func.count()).where(own, EVENTS.c.kind == update)
    counted = sql.union_all(kinds.group_by(EVENTS.c.kind), phases.group_by(phase))
    with store.engine.connect() as connection:
        return {name: count for name, count in connection.execute(counted)}


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
