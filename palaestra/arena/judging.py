"""The verb `judge`: answers of systems to the same prompts, ranked prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from palaestra.arena.group import Group, Unranked
from palaestra.arena.judges.registry import AnyJudgeConfig, open_judge
from palaestra.arena.topologies.registry import TopologyName
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.config import VerbConfig
from palaestra.core.errors import BudgetExceeded, ConfigError, DataError, JudgeError
from palaestra.core.events import (
    JudgementGiven,
    RankingMade,
    RunFinished,
    Sink,
    TaskLoaded,
    TrajectoryFinished,
)
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.loaders import Answer, load_answers
from palaestra.datasets.source import AnswerSource
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter


class JudgeConfig(VerbConfig):
    """Settings of `palaestra judge`."""

    systems: tuple[AnswerSource, ...] = Field(min_length=1)
    """Files of answers to the same prompts, one per system, or folders of earlier runs."""
    judge: AnyJudgeConfig
    """A language model's name, programmatic/<task family>, or either with its settings."""
    topology: TopologyName = "round-robin"
    """Who meets whom on each prompt: round-robin, anchor (the first system against the rest) or
    single-elimination."""
    tournament: TournamentConfig = TournamentConfig()


async def judge(config: JudgeConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Play a tournament on every prompt that has two answers or more.

    Raises:
        ConfigError, DataError: the systems, their files or the judge cannot be used.
        JudgeError: no verdict could be had on any prompt.
        ModelError: the judge's model does not answer.
    """
    answers = [
        answer
        for source, name in zip(config.systems, system_names(config.systems), strict=True)
        for answer in load_answers(source, name)
    ]
    contests = _contests(answers, config.limit)
    _store_inputs(contests, store, emit)
    async with open_judge(config.judge, config.seed, store.cache) as the_judge:
        tournament = Tournament(
            the_judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=run_meter(store, config.max_cost),
            emit=emit,
            known=[*store.events(JudgementGiven), *store.events(RankingMade)],
        )
        groups = (
            Group.of(task.id, task, contestants, config.topology, config.seed)
            for task, contestants in contests
            if len(contestants) > 1
        )
        try:
            results = await tournament.play(groups)
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
    return _finish(results)


def system_names(sources: Sequence[AnswerSource]) -> list[str]:
    """What each system is called: as configured, or like its file or folder.

    Where two of those are the same, the folder in which they are is put before: `first/answers`.

    Raises:
        ConfigError: two systems are called the same.
    """
    paths = [Path(source.path) for source in sources]
    stems = [path.stem for path in paths]
    names = [
        source.name or (path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}/{path.stem}")
        for source, path in zip(sources, paths, strict=True)
    ]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"two systems are called {min(twice)!r}; give each a name in the settings: systems")
    return names


Contest = tuple[Task, list[Trajectory]]


def _contests(answers: Iterable[Answer], limit: int | None) -> list[Contest]:
    """The first `limit` prompts with all their answers, in the order of the first system's file."""
    contests: dict[str, Contest] = {}
    for task, trajectory in answers:
        known, contestants = contests.setdefault(task.id, (task, []))
        if known.prompt != task.prompt:
            raise DataError(
                f"{contestants[0].agent} and {trajectory.agent} have different prompts under the id "
                f"{task.id!r}; systems are compared on the same prompts"
            )
        contestants.append(trajectory)
    chosen = list(contests.values())[:limit]
    if all(len(contestants) == 1 for _, contestants in chosen):
        raise DataError("no prompt has two answers; the systems must share ids, or prompts without ids")
    return chosen


def _store_inputs(contests: Iterable[Contest], store: RunStore, emit: Sink) -> None:
    """Write what is judged, or see that it is still what it was when the run began."""
    stored = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    tasks = {event.task.id for event in store.events(TaskLoaded)}
    for task, contestants in contests:
        if task.id not in tasks:
            emit(TaskLoaded(task=task))
        for trajectory in contestants:
            if trajectory.id not in stored:
                emit(TrajectoryFinished(group=task.id, trajectory=trajectory))
            elif stored[trajectory.id] != trajectory:
                raise DataError(f"{trajectory.id} has changed since this run began; start a new run")


def _finish(results: Mapping[str, Ranking | Unranked]) -> RunFinished:
    unranked = [result.reason for result in results.values() if isinstance(result, Unranked)]
    undecided = sum(result.undecided for result in results.values() if isinstance(result, Ranking))
    if len(unranked) == len(results):
        raise JudgeError(f"no prompt got a verdict ({unranked[-1]}); try another judge")
    if unranked or undecided:
        reason = f"{len(unranked)} prompts without a ranking, {undecided} more matches without a verdict"
        return RunFinished(status="failures", reason=reason)
    return RunFinished(status="done")
