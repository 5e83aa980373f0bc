"""Answers from a recorded run, so that it can be shown and tested again without its models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import sqlalchemy as sql

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ModelError
from palaestra.models.cached import read_completion, request_key
from palaestra.models.config import ModelConfig
from palaestra.store.run_store import RunStore
from palaestra.store.tables import RESPONSES

_EXCERPT = 80


class ReplayModel:
    """`replay/<run folder>`: the responses in the run's cache, found by what was asked, whoever answered.

    A run records its remote models by itself; to record a local one, use `CachedModel(model, run.cache)`.
    """

    def __init__(self, name: str, run: RunStore, context_window: int | None = None) -> None:
        self.name = name
        self.context_window = context_window
        self._run = run

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        run = RunStore.open(Path(config.name.partition("/")[2]))
        return cls(config.name, run, config.context_window)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        answers = self._answers(request_key(messages, sampling))
        if len(answers) != 1:
            found = "no answer" if not answers else f"answers of {len(answers)} models"
            advice = "record it first" if not answers else "record each model in a run of its own"
            asked = f"{_excerpt(messages)} with {_settings(sampling)}"
            raise ModelError(f"{self._run.folder} holds {found} to {asked}; {advice}")
        return read_completion(answers[0])

    async def close(self) -> None:
        self._run.close()

    def _answers(self, request: str) -> Sequence[str]:
        wanted = sql.select(RESPONSES.c.value).where(
            RESPONSES.c.run_id == self._run.id, RESPONSES.c.key.between(f"{request}-", f"{request}-~")
        )
        with self._run.engine.connect() as connection:
            return connection.execute(wanted).scalars().all()


def _excerpt(messages: Sequence[Message]) -> str:
    text = " ".join(messages[-1].content.split()) if messages else ""
    return repr(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…")


def _settings(sampling: Sampling) -> str:
    given = sampling.model_dump(exclude_defaults=True)
    return ", ".join(f"{setting}={value}" for setting, value in given.items()) or "default sampling"
