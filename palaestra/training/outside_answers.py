"""Answers that another library's trainer has drawn, as tasks and trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory

Text = str | Sequence[dict[str, Any]]
"""Plain, or messages of a conversation."""


def text_of(text: Text) -> str:
    return text if isinstance(text, str) else "\n\n".join(message["content"] for message in text)


def task_of(prompt: Text, described: str | None) -> Task:
    """The task as it is described in JSON, or else one that is its prompt and no more."""
    return Task.model_validate_json(described) if described else Task(id="prompt", prompt=text_of(prompt))


def contestants(group: str, task: Task, answers: Sequence[str]) -> list[Trajectory]:
    """The members of a group, with ids of their own."""
    return [
        Trajectory(id=f"{group}/{place}", task_id=task.id, agent="policy", status="finished", answer=answer)
        for place, answer in enumerate(answers)
    ]
