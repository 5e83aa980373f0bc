"""The verb `judge`: answers of systems to the same prompts, ranked prompt by prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from palaestra.arena.group import Group, Unranked, evidence_size
from palaestra.arena.judges.registry import AnyJudgeConfig, check_judge, open_judge
from palaestra.arena.topologies.base import Orders
from palaestra.arena.topologies.registry import AnyTopologyConfig, topology
from palaestra.arena.topologies.round_robin import RoundRobinConfig
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
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.loaders import load_answers
from palaestra.datasets.source import AnswerSource
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter


class JudgeConfig(VerbConfig):
    """Settings of `palaestra judge`."""

    systems: tuple[AnswerSource, ...] = Field(min_length=1)
    """Files of answers to the same prompts, one per system, or folders of earlier runs."""
    judge: AnyJudgeConfig
    """A language model's name, programmatic/<task family>, or either with its settings."""
    topology: AnyTopologyConfig = RoundRobinConfig()
    """Who meets whom on each prompt, a name or its settings: round-robin, anchor (the first system against
    the rest), single-elimination, double-elimination, swiss; with a budget of calls oneshot, adaptive and,
    for the best one only, halving."""
    tournament: TournamentConfig = TournamentConfig()

    @property
    def orders(self) -> Orders:
        """In which orders each pair is asked: the topology's own way, or the tournament's."""
        return topology(self.topology, ["first", "second"]).orders or self.tournament.orders


async def judge(config: JudgeConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Play a tournament on every prompt that two systems have answered, or one system several times.

    Raises:
        ConfigError, DataError: the systems, their files or the judge cannot be used.
        JudgeError: no verdict could be had on any prompt.
        ModelError: the judge's model does not answer.
    """
    prompts = load_prompts(config)
    _store_inputs(prompts, store, emit)
    ranked = {event.group for event in store.events(RankingMade)}
    unranked: list[str] = []
    async with open_judge(config.judge, config.seed, store) as the_judge:
        tournament = Tournament(
            the_judge,
            config.tournament,
            concurrency=config.concurrency,
            meter=run_meter(store, config.max_cost),
            emit=emit,
            known=(event for event in store.events(JudgementGiven) if event.group not in ranked),
        )
        groups = (group for group in groups_of(prompts, config) if group.id not in ranked)
        try:
            async with aclosing(tournament.results(groups)) as results:
                async for _, result in results:
                    if isinstance(result, Unranked):
                        unranked.append(result.reason)
        except BudgetExceeded as limit:
            return RunFinished(status="limit", reason=str(limit))
    return _finish(unranked, store)


def check(config: JudgeConfig) -> None:
    """See that the work can begin: what is wrong with the settings or the files is raised here, as there."""
    load_prompts(config)
    check_judge(config.judge, config.seed)


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


class Prompt(NamedTuple):
    """A task and what the systems answered to it."""

    task: Task
    answers: dict[str, list[Trajectory]]
    """By system; several where one was asked repeatedly."""

    def contests(self) -> Iterator[tuple[str, list[Trajectory]]]:
        """Who meets in one tournament, with a name for it.

        Answers of one system do not meet, for nothing would be learnt of the systems: everyone's first
        answers play, then everyone's second, and so on, where a system with fewer enters them again. Only
        where there is one system alone are its answers ranked among themselves.
        """
        if len(self.answers) == 1:
            [alone] = self.answers.values()
            if len(alone) > 1:
                yield self.task.id, alone
            return
        rounds = max(map(len, self.answers.values()))
        for turn in range(rounds):
            name = self.task.id if rounds == 1 else f"{self.task.id}#{turn}"
            yield name, [answers[turn % len(answers)] for answers in self.answers.values()]


def load_prompts(config: JudgeConfig) -> list[Prompt]:
    """The first `config.limit` prompts with all their answers, in the order of the first system's file.

    Raises:
        ConfigError, DataError: the systems or their files cannot be used.
    """
    prompts: dict[str, Prompt] = {}
    for source, name in zip(config.systems, system_names(config.systems), strict=True):
        for task, trajectory in load_answers(source, name):
            known, answers = prompts.setdefault(task.id, Prompt(task, defaultdict(list)))
            if known.prompt != task.prompt:
                raise DataError(
                    f"{next(iter(answers))} and {name} have different prompts under the id "
                    f"{task.id!r}; systems are compared on the same prompts"
                )
            answers[name].append(trajectory)
    chosen = list(prompts.values())[: config.limit]
    if not any(_is_contest(prompt, config) for prompt in chosen):
        raise DataError("no prompt has two answers; the systems must share ids, or prompts without ids")
    return chosen


def groups_of(prompts: Iterable[Prompt], config: JudgeConfig) -> Iterator[Group]:
    """The tournaments to be played, each made when it is wanted, the longest evidence first."""
    contests = [
        (prompt.task, name, contestants)
        for prompt in prompts
        if _is_contest(prompt, config)
        for name, contestants in prompt.contests()
    ]
    contests.sort(key=lambda contest: sum(map(evidence_size, contest[2])), reverse=True)
    for task, name, contestants in contests:
        yield Group.of(name, task, contestants, config.topology, config.seed)


def _is_contest(prompt: Prompt, config: JudgeConfig) -> bool:
    """Whether there is anyone to meet; repeated answers of one system are only where no other takes part."""
    lists = list(prompt.answers.values())
    return len(lists) > 1 or (len(config.systems) == 1 and len(lists[0]) > 1)


def _store_inputs(prompts: Iterable[Prompt], store: RunStore, emit: Sink) -> None:
    """Write what is judged, or see that it is still what it was when the run began."""
    stored = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    tasks = {event.task.id for event in store.events(TaskLoaded)}
    for task, answers in prompts:
        if task.id not in tasks:
            emit(TaskLoaded(task=task))
        for trajectory in chain.from_iterable(answers.values()):
            if trajectory.id not in stored:
                emit(TrajectoryFinished(group=task.id, trajectory=trajectory))
            elif stored[trajectory.id] != trajectory:
                raise DataError(f"{trajectory.id} has changed since this run began; start a new run")


def _finish(unranked: Sequence[str], store: RunStore) -> RunFinished:
    undecided = [event.ranking.undecided for event in store.events(RankingMade)]
    if not undecided:
        raise JudgeError(f"no prompt got a verdict ({unranked[-1]}); try another judge")
    if unranked or any(undecided):
        reason = f"{len(unranked)} prompts without a ranking, {sum(undecided)} more matches without a verdict"
        return RunFinished(status="failures", reason=reason)
    return RunFinished(status="done")
