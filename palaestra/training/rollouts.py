"""Groups of answers to one task, drawn from the policy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from palaestra.core.chat import Message, Sampling
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


class Rollouts:
    """Draws from one policy. What the run's store already knows, by trajectory id, is not drawn again."""

    def __init__(
        self, policy: Model, config: RolloutConfig, seed: int, emit: Sink, known: Mapping[str, Trajectory]
    ) -> None:
        self._policy = policy
        self._config = config
        self._seed = seed
        self._emit = emit
        self._known = known
        self._announced = {trajectory.task_id for trajectory in known.values()}

    async def groups(self, tasks: Mapping[str, Task]) -> dict[str, list[Trajectory]]:
        """A group of trajectories for each task, by the id given to the group, all drawn at the same time."""
        draws = [
            Draw(f"{group}/{index}", group, task, self._temperature(index))
            for group, task in tasks.items()
            for index in range(self._config.group_size)
        ]
        groups: dict[str, list[Trajectory]] = {group: [] for group in tasks}
        for draw, trajectory in zip(draws, await self._draw_all(draws), strict=True):
            groups[draw.group].append(trajectory)
        return groups

    async def singles(self, prefix: str, tasks: Sequence[Task]) -> list[Trajectory]:
        """One sampled trajectory per task."""
        draws = [Draw(f"{prefix}/{task.id}", "", task, self._config.temperature) for task in tasks]
        return await self._draw_all(draws)

    def _temperature(self, index: int) -> float:
        return 0.0 if index == 0 and self._config.greedy_anchor else self._config.temperature

    async def _draw_all(self, draws: Sequence[Draw]) -> list[Trajectory]:
        return await asyncio.gather(*(self._draw(draw) for draw in draws))

    async def _draw(self, draw: Draw) -> Trajectory:
        if draw.id in self._known:
            return self._known[draw.id]
        if draw.task.id not in self._announced:
            self._announced.add(draw.task.id)
            self._emit(TaskLoaded(task=draw.task))
        started = time.monotonic()
        sampling = Sampling(
            temperature=draw.temperature,
            max_tokens=self._config.max_tokens,
            seed=derive_seed(self._seed, draw.id),
        )
        completion = await self._policy.generate(conversation(draw.task, self._config.show_context), sampling)
        self._emit(
            CallMade(
                trajectory_id=draw.id,
                role="policy",
                model=self._policy.name,
                usage=completion.usage,
                cached=completion.cached,
            )
        )
        finished = completion.finish_reason == "stop"
        answer = completion.text.strip()
        seconds = time.monotonic() - started
        trajectory = Trajectory(
            id=draw.id,
            task_id=draw.task.id,
            agent=self._policy.name,
            status="finished" if finished else "limit",
            reason="" if finished else f"rollout.max_tokens={self._config.max_tokens} is used up",
            answer=answer,
            steps=(
                Step(
                    thought="",
                    actions=(Action(kind="answer", content=answer),),
                    usage=completion.usage,
                    seconds=seconds,
                ),
            ),
            usage={"policy": completion.usage},
            seconds=seconds,
            trace=completion.trace,
        )
        self._emit(TrajectoryFinished(group=draw.group, trajectory=trajectory))
        return trajectory


def conversation(task: Task, show_context: bool) -> list[Message]:
    """What the policy is shown of a task."""
    context = task.context if show_context and isinstance(task.context, str) else None
    return [Message(role="user", content=f"{context}\n\n{task.prompt}" if context else task.prompt)]
