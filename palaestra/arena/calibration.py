"""How far a judge can be trusted: the judge is asked about pairs of which the better one is known."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import Field

from palaestra.arena.calibration_report import CalibrationReport, LabelledPair, calibration_report
from palaestra.arena.judges.base import GroupJudge, Judge
from palaestra.arena.judges.registry import AnyJudgeConfig, check_judge, open_judge
from palaestra.core.budget import Meter
from palaestra.core.config import VerbConfig
from palaestra.core.errors import BudgetExceeded, DataError, ModelError, PalaestraError
from palaestra.core.events import JudgementGiven, RunFinished, Sink, TaskLoaded, TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict, Winner
from palaestra.datasets.judgements.group import JudgedGroup
from palaestra.datasets.judgements.importer import load_judgements
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter


class CalibrationConfig(VerbConfig):
    """Settings of `palaestra judge --calibrate`."""

    labelled: str
    """File or folder of judgements, in any of the forms that can be imported."""
    judge: AnyJudgeConfig
    """The judge to be examined, by name or with its settings."""
    labeller: str | None = None
    """Whose votes are the truth; null takes the data set's labels or, where it has none, the human votes."""
    repeats: int = Field(default=1, ge=1)
    """Times that each pair is asked in each order; with 2 or more, self-consistency is reported."""


async def calibrate_judge(config: CalibrationConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Ask the judge about every labelled pair, in both orders; `calibration_of` tells what came of it.

    Raises:
        ConfigError, DataError: the judge or the labelled pairs cannot be used.
        ModelError: the judge's model does not answer.
    """
    pairs = _load(config)
    _store_inputs(pairs, store, emit)
    async with open_judge(config.judge, config.seed, store) as judge:
        try:
            await calibrate(
                judge,
                pairs,
                repeats=config.repeats,
                concurrency=config.concurrency,
                meter=run_meter(store, config.max_cost),
                emit=emit,
                known=store.events(JudgementGiven),
            )
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
    return RunFinished(status="done")


def check_calibration(config: CalibrationConfig) -> None:
    """See that the work can begin: what is wrong with the settings or the file is raised here, as there."""
    _load(config)
    check_judge(config.judge, config.seed)


def calibration_of(store: RunStore) -> CalibrationReport:
    """The report on what a calibration run has asked so far."""
    config = store.config(CalibrationConfig)
    return calibration_report(_load(config), store.events(JudgementGiven), config.seed)


def _load(config: CalibrationConfig) -> list[LabelledPair]:
    groups = load_judgements(config.labelled)[: config.limit]
    pairs = list(labelled_pairs(groups, config.labeller))
    if not pairs:
        raise DataError(f"{config.labelled} holds no labelled pair; name a judge of the file as labeller")
    return pairs


class _Question(NamedTuple):
    pair: LabelledPair
    first: Trajectory
    second: Trajectory
    attempt: int

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.pair.task.id, self.first.id, self.second.id, self.attempt

    def answered(self, judge: str, judgement: Verdict | NoVerdict) -> JudgementGiven:
        group, first, second, attempt = self.key
        return JudgementGiven(
            group=group,
            stage="calibration",
            first=first,
            second=second,
            attempt=attempt,
            judge=judge,
            judgement=judgement,
        )


async def calibrate(
    judge: Judge,
    pairs: Sequence[LabelledPair],
    *,
    repeats: int,
    concurrency: int,
    meter: Meter,
    emit: Sink,
    known: Iterable[JudgementGiven] = (),
    seed: int = 0,
) -> CalibrationReport:
    """Ask about every pair in both orders, `repeats` times each, and compare with the labels.

    A judgement is emitted when it arrives; those in `known` are not asked again.

    Raises:
        ModelError: the judge's model does not answer. As with a limit, nothing more is asked then, and the
            calls under way are finished and emitted first.
        BudgetExceeded: a limit of the meter is used up.
    """
    if isinstance(judge, GroupJudge):
        for task, contestants in _groups(pairs):
            judge.meet(task, contestants)
    given = list(known)
    asked = {(event.group, event.first, event.second, event.attempt) for event in given}
    free = asyncio.Semaphore(concurrency)
    stopped: list[PalaestraError] = []

    async def ask(question: _Question) -> None:
        pair, first, second, attempt = question
        try:
            judgement = await judge.compare(pair.task, first, second, attempt)
        except ModelError as error:
            stopped.append(error)
            return
        finally:
            free.release()
        meter.charge("judge", judgement.usage)
        given.append(question.answered(judge.name, judgement))
        emit(given[-1])

    async with asyncio.TaskGroup() as tasks:
        for question in _questions(pairs, repeats):
            if question.key in asked:
                continue
            await free.acquire()
            try:
                meter.reserve()
            except BudgetExceeded as limit:
                stopped.append(limit)
            if stopped:
                break
            tasks.create_task(ask(question))
    if stopped:
        raise stopped[0]
    return calibration_report(pairs, given, seed)


def _groups(pairs: Iterable[LabelledPair]) -> Iterator[tuple[Task, list[Trajectory]]]:
    """Every task with all contestants of its pairs."""
    contestants: dict[str, dict[str, Trajectory]] = defaultdict(dict)
    tasks: dict[str, Task] = {}
    for pair in pairs:
        tasks[pair.task.id] = pair.task
        contestants[pair.task.id] |= {each.id: each for each in (pair.first, pair.second)}
    for id, task in tasks.items():
        yield task, list(contestants[id].values())


def _questions(pairs: Sequence[LabelledPair], repeats: int) -> Iterator[_Question]:
    for attempt in range(repeats):
        for pair in pairs:
            yield _Question(pair, pair.first, pair.second, attempt)
            yield _Question(pair, pair.second, pair.first, attempt)


def labelled_pairs(groups: Iterable[JudgedGroup], labeller: str | None = None) -> Iterator[LabelledPair]:
    """Every pair on which there is a label: what most of the labeller's votes say, and else a tie."""
    for group in groups:
        for (first, second), label in _majority(group, labeller).items():
            yield LabelledPair(group.task, group.contestant(first), group.contestant(second), label)


def _majority(group: JudgedGroup, labeller: str | None) -> dict[tuple[str, str], Winner]:
    """What most votes say of each pair of candidates, in the order of their names."""
    truth = "label" if any(vote.source == "label" for vote in group.votes) else "human"
    counts: dict[tuple[str, str], Counter[Winner]] = defaultdict(Counter)
    for vote in group.votes:
        if vote.winner and (vote.judge == labeller if labeller else vote.source == truth):
            better = {"a": vote.a, "b": vote.b, "tie": ""}[vote.winner]
            first, second = sorted((vote.a, vote.b))
            winner: Winner = "first" if better == first else "second" if better == second else "tie"
            counts[first, second][winner] += 1
    return {pair: _most_common(count) for pair, count in counts.items()}


def _most_common(counts: Counter[Winner]) -> Winner:
    most = [winner for winner, number in counts.items() if number == max(counts.values())]
    return most[0] if len(most) == 1 else "tie"


def _store_inputs(pairs: Iterable[LabelledPair], store: RunStore, emit: Sink) -> None:
    """Write what is judged, so that the run can be shown without the file."""
    tasks = {event.task.id for event in store.events(TaskLoaded)}
    answers = {event.trajectory.id for event in store.events(TrajectoryFinished)}
    for task, contestants in _groups(pairs):
        if task.id not in tasks:
            emit(TaskLoaded(task=task))
        for trajectory in contestants:
            if trajectory.id not in answers:
                emit(TrajectoryFinished(group=task.id, trajectory=trajectory))
