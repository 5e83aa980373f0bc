"""The verb `run`: an agent on every task, each trajectory written when it is finished."""

from __future__ import annotations

import asyncio
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
from palaestra.core.events import CallMade, Event, RunFinished, Sink, TaskLoaded, TrajectoryFinished
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Role, Usage, total
from palaestra.datasets.documents import keep, read_documents
from palaestra.datasets.loaders import load_tasks
from palaestra.datasets.source import DataSource
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory
from palaestra.store.run_store import RunStore
from palaestra.store.runs import spent


class RunConfig(VerbConfig):
    agent: AgentConfig = Field(default=RLMConfig(), discriminator="name")
    """`name` is rlm or react; the other settings are the agent's own."""
    model: ModelConfig
    """What the agent thinks with."""
    sub_model: ModelConfig | None = None
    """What its code asks; null is the same model."""
    sampling: Sampling = Sampling()
    """Its seed and index are set for every trajectory, from the run's seed."""
    budget: Budget = Budget()
    """Of each trajectory, with everything that it starts."""
    sandbox: SandboxConfig = SandboxConfig()
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
            raise ValueError("give either tasks (a file) or ask (a question)")
        if self.context and self.ask is None:
            raise ValueError("context goes with ask; tasks from a file bring their own")
        return self


async def run(config: RunConfig, store: RunStore, emit: Sink) -> RunFinished:
    """Run the agent on every task that the store has no finished trajectory for.

    A failed trajectory is recorded and the others go on. When `max_cost` is used up, those under way are
    brought to their end and no other is started.

    Raises:
        ConfigError, DataError: the settings or the tasks cannot be used.
        ModelError: a model cannot be used at all. Trajectories under way when this shows are not recorded,
            so that a resumed run takes them up again.
    """
    tasks = _tasks(config, store, emit)
    finished = {event.trajectory.id: event.trajectory for event in store.events(TrajectoryFinished)}
    async with AsyncExitStack() as stack:
        models = _models(config, store)
        for model in models.values():
            stack.push_async_callback(model.close)
        work = _Run(config, models, emit, total(spent(store).values()))
        async with asyncio.TaskGroup() as group:
            for task in tasks:
                for repeat in range(config.repeats):
                    if f"{task.id}#{repeat}" not in finished:
                        group.create_task(work.one(task, repeat))
    if work.hopeless:
        raise work.hopeless
    failed = [trajectory for trajectory in (*finished.values(), *work.done) if trajectory.status == "error"]
    if work.limit:
        return RunFinished(status="limit", reason=work.limit)
    if failed:
        first = failed[0]
        reason = f"{len(failed)} trajectories ended with an error, such as {first.id}: {first.reason}"
        return RunFinished(status="failures", reason=reason)
    return RunFinished(status="done")


class _Run:
    """The trajectories of one process."""

    def __init__(
        self, config: RunConfig, models: dict[Role, WatchedModel], emit: Sink, before: Usage
    ) -> None:
        self.done: list[Trajectory] = []
        self.limit = ""
        """Why no more trajectories are started; empty while they are."""
        self._config = config
        self._models = models
        self._emit = emit
        self._usage = before
        self._agent = make_agent(config.agent)
        self._sandbox = sandbox_factory(config.sandbox)
        self._slots = asyncio.Semaphore(config.concurrency)

    @property
    def hopeless(self) -> ModelError | None:
        return next((model.hopeless for model in self._models.values() if model.hopeless), None)

    async def one(self, task: Task, repeat: int) -> None:
        async with self._slots:
            self.limit = self.limit or self._limit()
            if self.limit or self.hopeless:
                return
            trajectory = await self._agent.run(task, self._context(task, repeat))
        if trajectory.status == "cancelled" or self.hopeless:
            return
        self.done.append(trajectory)
        self._emit(TrajectoryFinished(trajectory=trajectory))

    def _context(self, task: Task, repeat: int) -> AgentContext:
        seed = derive_seed(self._config.seed, task.id, repeat)
        return AgentContext(
            trajectory_id=f"{task.id}#{repeat}",
            models=self._models,
            sandbox=self._sandbox,
            meter=Meter(self._config.budget),
            sampling=self._config.sampling.model_copy(update={"seed": seed, "sample_index": repeat}),
            emit=self._note,
        )

    def _note(self, event: Event) -> None:
        if isinstance(event, CallMade) and not event.cached:
            self._usage += event.usage
        self._emit(event)

    def _limit(self) -> str:
        most, cost = self._config.max_cost, self._usage.cost
        if most is None:
            return ""
        if cost is None:
            return "max_cost is set, but a call had no known price: unset it or pick a priced model"
        return f"max_cost={most} USD is used up ({cost:.4f} spent)" if cost >= most else ""


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


def _models(config: RunConfig, store: RunStore) -> dict[Role, WatchedModel]:
    policy = WatchedModel(load_model(config.model, store.cache))
    if config.sub_model is None:
        return {"policy": policy, "sub": policy}
    return {"policy": policy, "sub": WatchedModel(load_model(config.sub_model, store.cache))}
