"""Groups of answers to one task, drawn from the policy."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ContextTooLong
from palaestra.core.events import CallMade, Sink, TaskLoaded, TrajectoryFinished
from palaestra.core.record import Record, derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Action, Step, Trajectory
from palaestra.models.base import Model


class RolloutConfig(Record):
    tasks_per_step: int = Field(default=16, ge=1)
    group_size: int = Field(default=16, ge=2)
    """Trajectories per task, the anchor included."""
    temperature: float = Field(default=0.8, gt=0)
    max_tokens: int = Field(default=1024, ge=1)
    """Generated tokens per trajectory."""
    greedy_anchor: bool = True
    """Decode the first of a group greedily, as the paper does; false draws it like the others."""
    show_context: bool = True
    """Put the task's context before its prompt; false for a policy that must know it by heart."""


class Draw(NamedTuple):
    """One answer to be drawn."""

    id: str
    group: str
    task: Task
    temperature: float
    max_tokens: int


class Rollouts:
    """Draws from one policy.

    What is already `known`, by trajectory id, is not taken anew. A batch that is known in part was cut off
    by a kill: it is drawn once more as a whole, because the last bits of a row depend on the rows beside it.
    """

    def __init__(
        self,
        policy: Model,
        config: RolloutConfig,
        seed: int,
        emit: Sink,
        known: Mapping[str, Trajectory],
        announced: Collection[str] = (),
    ) -> None:
        """`announced` are the ids of tasks that were emitted before."""
        self._policy = policy
        self._config = config
        self._seed = seed
        self._emit = emit
        self._known = known
        self._announced = set(announced)
        self._prefix = ""

    def drawing_from(self, model: Model) -> Rollouts:
        """The same with another model."""
        other = copy.copy(self)
        other._policy = model
        return other

    def asking(self, prefix: str) -> Rollouts:
        """The same with `prefix` before every request."""
        other = copy.copy(self)
        other._prefix = prefix
        return other

    async def groups(
        self, tasks: Mapping[str, Task], max_tokens: int | None = None
    ) -> dict[str, list[Trajectory]]:
        """A group of trajectories for each task, by the id given to the group, all drawn at the same time.

        `max_tokens` takes the place of the configured limit.
        """
        limit = max_tokens or self._config.max_tokens
        draws = [
            Draw(f"{group}/{index}", group, task, self._temperature(index), limit)
            for group, task in tasks.items()
            for index in range(self._config.group_size)
        ]
        groups: dict[str, list[Trajectory]] = {group: [] for group in tasks}
        for draw, trajectory in zip(draws, await self._draw_all(draws), strict=True):
            groups[draw.group].append(trajectory)
        return groups

    async def singles(self, prefix: str, tasks: Sequence[Task]) -> list[Trajectory]:
        """One sampled trajectory per task."""
        temperature, limit = self._config.temperature, self._config.max_tokens
        return await self._draw_all(
            [Draw(f"{prefix}/{task.id}", "", task, temperature, limit) for task in tasks]
        )

    async def repeated(self, prefix: str, tasks: Sequence[Task], count: int) -> list[list[Trajectory]]:
        """So many sampled trajectories for each task."""
        temperature, limit = self._config.temperature, self._config.max_tokens
        draws = [
            Draw(f"{prefix}/{task.id}/{number}", "", task, temperature, limit)
            for task in tasks
            for number in range(count)
        ]
        drawn = await self._draw_all(draws)
        return [drawn[start : start + count] for start in range(0, len(drawn), count)]

    def _temperature(self, index: int) -> float:
        return 0.0 if index == 0 and self._config.greedy_anchor else self._config.temperature

    async def _draw_all(self, draws: Sequence[Draw]) -> list[Trajectory]:
        if any(draw.id not in self._known for draw in draws):
            drawn = await asyncio.gather(*(self._draw(draw) for draw in draws))
        else:
            drawn = [self._known[draw.id] for draw in draws]
        return [self._known.get(trajectory.id, trajectory) for trajectory in drawn]

    async def _draw(self, draw: Draw) -> Trajectory:
        started = time.monotonic()
        sampling = Sampling(
            temperature=draw.temperature,
            max_tokens=draw.max_tokens,
            seed=derive_seed(self._seed, draw.id),
        )
        messages = conversation(draw.task, self._config.show_context, self._prefix)
        try:
            completion = await self._policy.generate(messages, sampling)
        except ContextTooLong as error:
            trajectory = Trajectory(
                id=draw.id,
                task_id=draw.task.id,
                agent=self._policy.name,
                status="error",
                reason=str(error),
                answer="",
            )
        else:
            trajectory = self._trajectory(draw, completion, time.monotonic() - started)
        self._write(draw, trajectory)
        return trajectory

    def _trajectory(self, draw: Draw, completion: Completion, seconds: float) -> Trajectory:
        finished = completion.finish_reason == "stop"
        answer = completion.text.strip()
        step = Step(
            thought="",
            actions=(Action(kind="answer", content=answer),),
            usage=completion.usage,
            seconds=seconds,
        )
        return Trajectory(
            id=draw.id,
            task_id=draw.task.id,
            agent=self._policy.name,
            status="finished" if finished else "limit",
            reason="" if finished else f"the limit of {draw.max_tokens} generated tokens is used up",
            answer=answer,
            steps=(step,),
            usage={"policy": completion.usage},
            seconds=seconds,
            trace=completion.trace,
        )

    def _write(self, draw: Draw, trajectory: Trajectory) -> None:
        if draw.id in self._known:
            return
        if draw.task.id not in self._announced:
            self._announced.add(draw.task.id)
            self._emit(TaskLoaded(task=draw.task))
        for usage in trajectory.usage.values():
            self._emit(
                CallMade(
                    trajectory_id=draw.id, role="policy", model=self._policy.name, usage=usage, cached=False
                )
            )
        self._emit(TrajectoryFinished(group=draw.group, trajectory=trajectory))


def conversation(task: Task, show_context: bool, prefix: str = "") -> list[Message]:
    """What the policy is shown of a task."""
    context = task.context if show_context and isinstance(task.context, str) else None
    request = prefix + task.request
    return [Message(role="user", content=f"{context}\n\n{request}" if context else request)]
