"""The summary of a run: its state, its counts and its account, by counting in the database."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from palaestra.core.config import VerbConfig
from palaestra.core.events import (
    CallMade,
    JudgementGiven,
    RunFinished,
    RunStarted,
    StepSkipped,
    TaskLoaded,
    TrajectoryFinished,
    UpdateDone,
)
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Role, Usage
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.store.lock import hold
from palaestra.store.run_store import RunStore
from palaestra.store.runs import (
    came_to_nothing,
    counted_as,
    find_runs,
    find_trajectory,
    remove,
    run_meter,
    spent,
    summarize,
)

CALL = Usage(calls=1, tokens_in=100, tokens_out=10, tokens_cached=40, cost=0.25, seconds=1.5)


def call(role: Role, usage: Usage, cached: bool = False) -> CallMade:
    return CallMade(trajectory_id="t", role=role, model="m", usage=usage, cached=cached)


def judgement(judgement: Verdict | NoVerdict) -> JudgementGiven:
    return JudgementGiven(group="g", stage="r1", first="a", second="b", judge="j", judgement=judgement)


def test_the_account_adds_up_calls_and_judgements_by_role(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    assert spent(store) == {}
    unpriced = CALL.model_copy(update={"cost": None})
    for event in (
        call("policy", CALL),
        call("policy", CALL),
        call("policy", CALL, cached=True),
        call("sub", CALL),
        call("sub", unpriced),
        judgement(Verdict.from_scores(1, 2, usage=CALL)),
        judgement(NoVerdict(reason="nonsense", usage=CALL)),
    ):
        store.write(event)
    expected: Mapping[Role, Usage] = {"policy": CALL + CALL, "sub": CALL + unpriced, "judge": CALL + CALL}
    assert spent(store) == expected
    assert spent(store)["sub"].cost is None


def test_a_judge_that_asks_no_model_has_no_account(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "judge", VerbConfig())
    store.write(judgement(Verdict.from_scores(1, 2)))
    assert spent(store) == {}


def test_the_meter_of_a_run_begins_with_what_earlier_starts_consumed(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    store.write(call("sub", CALL))
    store.write(call("sub", CALL, cached=True))
    store.write(judgement(NoVerdict(reason="nonsense", usage=CALL)))
    assert run_meter(store, None).usage == {"judge": CALL, "sub": CALL}
    assert run_meter(store, 0.51).used_up == ""
    assert run_meter(store, 0.5).used_up == "max_cost=0.5 USD is used up (0.5 spent)"


def test_the_state_follows_the_last_start_and_end(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    assert summarize(store).state == "unfinished"
    store.write(RunStarted(verb="run"))
    assert summarize(store).state == "unfinished"
    with hold(store.folder):
        assert summarize(store).state == "running"
    store.write(RunFinished(status="limit", reason="max_cost is used up", usage={"policy": CALL}))
    summary = summarize(store)
    assert (summary.state, summary.reason, summary.usage) == (
        "limit",
        "max_cost is used up",
        {"policy": CALL},
    )
    store.write(RunStarted(verb="run"))
    store.write(TaskLoaded(task=Task(id="1", prompt="?")))
    store.write(call("policy", CALL + CALL))
    with hold(store.folder):
        summary = summarize(store)
    assert (summary.state, summary.usage) == ("running", {"policy": CALL + CALL})
    assert summary.counts == {"run-started": 2, "run-finished": 1, "task-loaded": 1, "call-made": 1}


def test_updates_are_counted_by_their_phase(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "train", VerbConfig())
    for phase in get_args(UpdateDone.model_fields["phase"].annotation):
        for step in range(1 + len(phase)):
            event = UpdateDone(step=step, phase=phase, metrics={})
            assert counted_as(event) == phase
            store.write(event)
    store.write(StepSkipped(step=1, reason="nothing to learn"))
    assert summarize(store).counts == {"warm-start": 11, "train": 6, "evaluation": 11, "step-skipped": 1}


def test_a_run_that_is_removed_leaves_the_others(tmp_path: Path) -> None:
    first, second, third = (RunStore.create(tmp_path, "run", VerbConfig()) for _ in range(3))
    remove(second)
    assert (tmp_path / "latest").resolve() == third.folder
    remove(third)
    assert find_runs(tmp_path) == [first.folder]
    assert (tmp_path / "latest").resolve() == first.folder
    remove(first)
    assert list(tmp_path.iterdir()) == []


def test_a_run_came_to_nothing_unless_something_was_done_or_paid_for(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    store.write(RunStarted(verb="run"))
    store.write(RunFinished(status="error", reason="no key"))
    assert came_to_nothing(store)
    store.cache.put("call", "an answer that was paid for")
    assert not came_to_nothing(store)


def test_runs_are_found_once_and_oldest_first(tmp_path: Path) -> None:
    assert find_runs(tmp_path / "none") == []
    (tmp_path / "notes").mkdir()
    folders = [RunStore.create(tmp_path, verb, VerbConfig()).folder for verb in ("run", "train")]
    assert find_runs(tmp_path) == sorted(folders)


def test_a_trajectory_is_found_by_its_name(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    for name in ("a", "b\"'; --", "c"):
        trajectory = Trajectory(id=name, task_id="t", agent="react", status="finished", answer=name * 2)
        store.write(TrajectoryFinished(trajectory=trajectory))
    found = find_trajectory(store, "b\"'; --")
    assert found is not None
    assert found.trajectory.answer == "b\"'; --b\"'; --"
    assert find_trajectory(store, "d") is None


def test_a_run_finished_without_an_account_of_its_own_is_summed_from_its_events(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path, "run", VerbConfig())
    store.write(call("policy", CALL))
    store.write(RunFinished(status="done"))
    assert summarize(store).usage == {"policy": CALL}
