"""The verb `bench`: where each agent breaks as contexts grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Annotated, NamedTuple

from pydantic import Field

from palaestra.agents.memory import MemoryConfig
from palaestra.agents.plain import PlainConfig
from palaestra.agents.react import ReactConfig
from palaestra.agents.registry import AgentConfig
from palaestra.agents.rlm import RLMConfig
from palaestra.agents.runner import AgentsConfig, run_agents
from palaestra.core.events import RunFinished, Sink, TaskLoaded
from palaestra.core.task import Task
from palaestra.core.usage import Usage, total
from palaestra.datasets.families import long_context_family
from palaestra.datasets.scores import Scored, scored
from palaestra.datasets.shelf import Shelf
from palaestra.models.config import ModelConfig
from palaestra.models.tokens import cutter_for
from palaestra.store.run_store import RunStore

KILO = 1024


class LongContextConfig(AgentsConfig):
    agents: tuple[Annotated[AgentConfig, Field(discriminator="name")], ...] = (
        PlainConfig(),
        ReactConfig(),
        RLMConfig(),
        MemoryConfig(),
    )
    """Each by name, with its own settings; no name twice."""
    model: ModelConfig = ModelConfig(name="scripted/long-context", context_window=128 * KILO)
    lengths: tuple[int, ...] = (8 * KILO, 128 * KILO, KILO * KILO)
    """Tokens of prompt and context together, by the tokenizer; without one a token is four characters."""
    families: tuple[str, ...] = (
        "niah-multikey-uuid",
        "common-words",
        "oolong-counting",
        "oolong-user",
        "oolong-pairs",
        "mrcr-8",
        "corpus-qa",
        "dialogue-memory",
    )
    tasks: int = Field(default=2, ge=1)
    """Of each family, at each length."""
    tokenizer: str | None = None
    """Folder whose tokenizer counts; null: the model's own for hf/ models."""
    concurrency: int = Field(default=4, ge=1)
    """Trajectories under way at once; most agents have their whole context in memory."""


class Point(NamedTuple):
    """What an agent did at one length."""

    agent: str
    tokens: int
    tasks: int
    score: float
    """The mean over the tasks."""
    usage: Usage
    """Of all tasks."""
    seconds: float
    """Elapsed, the mean over the tasks."""


async def bench(config: LongContextConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Run every agent on the same tasks, as `palaestra.agents.runner.run` does.

    Raises:
        ConfigError: the settings cannot be used.
        ModelError: a model cannot be used at all.
    """
    tasks = make_tasks(config, store, emit)
    return await run_agents(config, {f"{agent.name}/": agent for agent in config.agents}, tasks, store, emit)


def make_tasks(config: LongContextConfig, store: RunStore, emit: Sink) -> list[Task]:
    """The tasks at all lengths. Contexts are in the run's folder; those that are there are not made again."""
    known: defaultdict[tuple[str, int], list[Task]] = defaultdict(list)
    for event in store.events(TaskLoaded):
        known[event.task.family, event.task.metadata["tokens"]].append(event.task)
    shelf = Shelf(store.folder / "contexts", cutter_for(config.model.name, config.tokenizer).count)
    tasks: list[Task] = []
    for tokens in config.lengths:
        for name in config.families:
            made = known[name, tokens]
            if len(made) < config.tasks:
                names = {task.id for task in made}
                made = long_context_family(name).tasks(config.tasks, tokens, shelf, config.seed)
                for task in made:
                    if task.id not in names:
                        emit(TaskLoaded(task=task))
            tasks += made
    return tasks


def points(results: Iterable[Scored]) -> list[Point]:
    """By agent, in the order of their first results, and by length."""
    grouped: defaultdict[tuple[str, int], list[Scored]] = defaultdict(list)
    for result in results:
        grouped[result.trajectory.agent, result.task.metadata["tokens"]].append(result)
    order = list(dict.fromkeys(agent for agent, _ in grouped))
    return [
        Point(
            agent=agent,
            tokens=tokens,
            tasks=len(group),
            score=fmean(result.score for result in group),
            usage=total(usage for result in group for usage in result.trajectory.usage.values()),
            seconds=fmean(result.trajectory.seconds for result in group),
        )
        for (agent, tokens), group in sorted(
            grouped.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
        )
    ]


def by_family(results: Iterable[Scored]) -> Mapping[str, Sequence[Point]]:
    """The points of each family alone."""
    grouped: defaultdict[str, list[Scored]] = defaultdict(list)
    for result in results:
        grouped[result.task.family].append(result)
    return {family: points(group) for family, group in grouped.items()}


def results_of(store: RunStore) -> list[Scored]:
    """In the order of agents and tasks of the configuration."""
    agents: list[str] = [agent.name for agent in store.config(LongContextConfig).agents]
    return sorted(scored(store), key=lambda result: agents.index(result.trajectory.agent))
