"""The verb `run`: an agent on every task, each trajectory written when it is finished."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from palaestra.agents.base import AgentContext
from palaestra.agents.registry import AgentConfig, make_agent
from palaestra.agents.rlm import RLMConfig
from palaestra.agents.watched import WatchedModel
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ModelError
from palaestra.core.events import RunFinished, Sink, TaskLoaded, TrajectoryFinished
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.documents import keep, read_documents
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.source import DataSource
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory, try_out
from palaestra.store.journal import RunJournal
from palaestra.store.run_store import RunStore
from palaestra.store.runs import run_meter


class AgentsConfig(VerbConfig):
    """What agents work with."""

    model: ModelConfig
    """What the agent thinks with."""
    sub_model: ModelConfig | None = None
    """What its code asks, and its children think with; null is the same model."""
    deeper_models: tuple[ModelConfig, ...] = ()
    """What the children's code asks, depth by depth; the last serves all that are deeper."""
    sampling: Sampling = Sampling()
    """Its seed and index are set for every trajectory, from the run's seed."""
    budget: Budget = Budget()
    """Of each trajectory, with everything that it starts."""
    sandbox: SandboxConfig = SandboxConfig()


class RunConfig(AgentsConfig):
    agent: AgentConfig = Field(default=RLMConfig(), discriminator="name")
    """`name` is rlm, react, memory or plain; the other settings are the agent's own."""
    tasks: DataSource | None = None
    """A file of tasks; or else give `ask`."""
    ask: str | None = None
    """A single question."""
    context: tuple[str, ...] = ()
    """Files and folders that `ask` is about; several are joined, each file after a line with its name."""
    repeats: int = Field(default=1, ge=1)
    """Trajectories for each task."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.tasks is None) == (self.ask is None):
            raise ValueError("give either --tasks (a file) or --ask (a question), and not both")
        if self.context and self.ask is None:
            raise ValueError("context goes with ask; tasks from a file bring their own")
        return self


async def run(config: RunConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Run the agent on every task that the store has no finished trajectory for.

    A failed trajectory is recorded and the others go on. When `max_cost` is used up, no further model call is
    made. Trajectories that this cuts off are not recorded: a run resumed with a higher limit takes them up
    again, and finds the answers that were paid for in its cache.

    Raises:
        ConfigError, DataError: the settings or the tasks cannot be used.
        ModelError: a model cannot be used at all. Trajectories under way when this shows are not recorded,
            so that a resumed run takes them up again.
    """
    tasks = _tasks(config, store, emit)
    return await run_agents(config, {"": config.agent}, tasks, store, emit, config.repeats)


async def run_agents(
    config: AgentsConfig,
    agents: Mapping[str, AgentConfig],
    tasks: Sequence[Task],
    store: RunStore,
    emit: Sink,
    repeats: int = 1,
) -> RunFinished:
    """The same for several agents; their keys begin the names of their trajectories."""
    async with AsyncExitStack() as stack:
        models = _models(config, store)
        for model in models:
            stack.push_async_callback(model.close)
        work = _Run(config, agents, models, run_meter(store, config.max_cost), emit, RunJournal(store))
        for event in store.events(TrajectoryFinished):
            work.count(event.trajectory)
        left = [
            one
            for one in itertools.product(agents, tasks, range(repeats))
            if _name(*one) not in work.finished
        ]
        if left:
            await try_sandbox(config, agents.values())
        async with asyncio.TaskGroup() as group:
            for one in left:
                group.create_task(work.one(*one))
    return work.end()


async def try_sandbox(config: AgentsConfig, agents: Iterable[AgentConfig]) -> None:
    """Start a session where an agent may want one: better now than when models have been paid.

    Raises:
        SandboxUnavailable: this machine cannot give it.
    """
    if any(make_agent(agent, config.model).uses_sandbox for agent in agents):
        await try_out(sandbox_factory(config.sandbox))


def _name(prefix: str, task: Task, repeat: int) -> str:
    return f"{prefix}{task.id}#{repeat}"


class _Run:
    """The trajectories of a run."""

    def __init__(
        self,
        config: AgentsConfig,
        agents: Mapping[str, AgentConfig],
        models: Sequence[WatchedModel],
        meter: Meter,
        emit: Sink,
        journal: RunJournal,
    ) -> None:
        self.finished: set[str] = set()
        self._failures = 0
        self._first_failure = ""
        self._left = 0
        """Trajectories that the run's limit cut off or did not let begin."""
        self._config = config
        self._models = models
        self._meter = meter
        self._emit = emit
        self._journal = journal
        self._agents = {prefix: make_agent(agent, config.model) for prefix, agent in agents.items()}
        self._sandbox = sandbox_factory(config.sandbox)
        self._slots = asyncio.Semaphore(config.concurrency)

    @property
    def _hopeless(self) -> ModelError | None:
        return next((model.hopeless for model in self._models if model.hopeless), None)

    async def one(self, prefix: str, task: Task, repeat: int) -> None:
        async with self._slots:
            if self._hopeless:
                return
            if self._meter.used_up:
                self._left += 1
                return
            context = self._context(prefix, task, repeat)
            trajectory = await self._agents[prefix].run(task, context)
        if trajectory.status == "cancelled" or self._hopeless:
            return
        if context.meter.cut_off:
            self._left += 1
            return
        self.count(trajectory)
        self._emit(TrajectoryFinished(trajectory=trajectory))
        if trajectory.status != "error":  # which may be taken up again
            self._journal.of(trajectory.id).forget(trajectory.id)

    def count(self, trajectory: Trajectory) -> None:
        """Take note of a trajectory that is recorded."""
        self.finished.add(trajectory.id)
        if trajectory.status == "error":
            self._failures += 1
            self._first_failure = self._first_failure or f"{trajectory.id}: {trajectory.reason}"

    def end(self) -> RunFinished:
        """How the run ended.

        Raises:
            ModelError: a model cannot be used at all.
        """
        if self._hopeless:
            raise self._hopeless
        if self._left:
            reason = f"{self._meter.used_up}; {self._left} trajectories are left"
            return RunFinished(status="limit", reason=reason)
        if self._failures:
            reason = f"{self._failures} trajectories ended with an error, such as {self._first_failure}"
            return RunFinished(status="failures", reason=reason)
        return RunFinished(status="done")

    def _context(self, prefix: str, task: Task, repeat: int) -> AgentContext:
        seed = derive_seed(self._config.seed, task.id, repeat)
        name = _name(prefix, task, repeat)
        return AgentContext(
            trajectory_id=name,
            models=self._models,
            sandbox=self._sandbox,
            meter=Meter(self._config.budget, within=self._meter),
            sampling=self._config.sampling.model_copy(update={"seed": seed, "sample_index": repeat}),
            emit=self._emit,
            journal=self._journal.of(name),
        )


def _tasks(config: RunConfig, store: RunStore, emit: Sink) -> list[Task]:
    """The run's tasks: as they were at its first start, where the store has them."""
    known = {event.task.id: event.task for event in store.events(TaskLoaded)}
    if config.tasks is not None:
        tasks = [known.get(task.id, task) for task in load_tasks(config.tasks, config.limit)]
    else:
        tasks = list(known.values()) or [_question(config, store.folder)]
    for task in tasks:
        if task.id not in known:
            emit(TaskLoaded(task=task))
    return tasks


def _question(config: RunConfig, folder: Path) -> Task:
    assert config.ask is not None
    context = keep(read_documents(config.context), folder / "contexts") if config.context else None
    return Task(id="ask", prompt=config.ask, context=context)


def _models(config: AgentsConfig, store: RunStore) -> list[WatchedModel]:
    """By depth."""
    below = [config.sub_model, *config.deeper_models] if config.sub_model else list(config.deeper_models)
    return [WatchedModel(load_model(model, store.cache)) for model in (config.model, *below)]
