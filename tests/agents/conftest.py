"""Agents at work with scripted models, a real sandbox, and a record of everything that was said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from palaestra.agents.base import Agent, AgentContext
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Message, Sampling
from palaestra.core.events import CallMade, Event, StepTaken
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.base import Model
from palaestra.models.scripted import Program, ScriptedModel
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory


@dataclass
class Stage:
    """Where an agent performs. `conversations` has what the policy was shown before each of its replies."""

    conversations: list[list[Message]] = field(default_factory=list)
    asked: list[tuple[str, Sampling]] = field(default_factory=list)
    """What the sub-model was asked."""
    events: list[Event] = field(default_factory=list)
    meter: Meter = field(default_factory=lambda: Meter(Budget()))

    def context(
        self, policy: Sequence[str], sub: Program | Model, budget: Budget, limits: CellLimits
    ) -> AgentContext:
        def speak(messages: Sequence[Message], sampling: Sampling) -> str:
            self.conversations.append(list(messages))
            return policy[len(self.conversations) - 1]

        def answer(messages: Sequence[Message], sampling: Sampling) -> str:
            assert callable(sub)
            self.asked.append((messages[-1].content, sampling))
            return sub(messages, sampling)

        self.meter = Meter(budget)
        return AgentContext(
            trajectory_id="t#0",
            models=(
                ScriptedModel("scripted/policy", speak),
                ScriptedModel("scripted/sub", answer) if callable(sub) else sub,
            ),
            sandbox=sandbox_factory(SandboxConfig(limits=limits)),
            meter=self.meter,
            sampling=Sampling(),
            emit=self.events.append,
        )

    def play(
        self,
        agent: Agent,
        policy: Sequence[str],
        task: Task | str = "What?",
        sub: Program | Model = lambda messages, sampling: messages[-1].content.upper(),
        budget: Budget | None = None,
        limits: CellLimits | None = None,
    ) -> Trajectory:
        """The trajectory of an agent whose model gives these replies one after another."""
        if isinstance(task, str):
            task = Task(id="t", prompt="What?", context=task)
        context = self.context(policy, sub, budget or Budget(), limits or CellLimits())
        trajectory = asyncio.run(agent.run(task, context))
        self.check(trajectory)
        return trajectory

    def check(self, trajectory: Trajectory) -> None:
        """What holds for every trajectory: its events and its account say the same as it does."""
        steps = [event for event in self.events if isinstance(event, StepTaken)]
        assert [event.step for event in steps] == list(trajectory.steps)
        assert [event.index for event in steps] == list(range(len(steps)))
        calls = [event for event in self.events if isinstance(event, CallMade)]
        for role in ("policy", "sub"):
            of_role = [event.usage for event in calls if event.role == role]
            assert len(of_role) == (trajectory.usage[role].calls if role in trajectory.usage else 0)
            assert sum(usage.tokens for usage in of_role) == (
                trajectory.usage[role].tokens if role in trajectory.usage else 0
            )

    def told(self, turn: int) -> str:
        """What the policy was told last before its reply of this turn; turns count from 1."""
        return self.conversations[turn - 1][-1].content


@pytest.fixture
def stage() -> Stage:
    return Stage()
