"""The one protocol that every language model answers to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

from palaestra.core.chat import Completion, Message, Sampling


class Model(Protocol):
    name: str
    """As the user wrote it, backend included: `openai/gpt-5`, `hf/path`, `scripted/judge`."""
    context_window: int | None
    """Tokens that prompt and completion may have together; None when unknown."""

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        """Draw one completion. Concurrent calls are welcome; the model does its own queueing.

        Raises:
            ModelError: after the backend's own retries.
        """
        ...

    async def close(self) -> None:
        """Release connections and memory. Safe to call twice."""
        ...


@runtime_checkable
class StreamingModel(Model, Protocol):
    """A model that tells what it is doing before its completion is there."""

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> AsyncIterator[str | Completion]:
        """Texts about its progress, and the completion at last."""
        ...


class ScoringModel(Model, Protocol):
    """A model that can also say how likely a given completion is."""

    async def score(self, messages: Sequence[Message], completion: str) -> tuple[float, ...]:
        """Log-probability of each completion token at temperature 1."""
        ...
