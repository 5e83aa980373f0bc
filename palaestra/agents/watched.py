"""Telling a failure that concerns one call from one that every other call will meet."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import AuthenticationFailed, ModelError, ModelUnreachable, UnknownModel
from palaestra.models.base import Model


class WatchedModel:
    """A model that remembers why there is no use in asking it again, if that is so.

    It is so after a wrong key or an unknown name, and when it could not be reached although it never
    answered before. A connection that is lost later may come back.
    """

    def __init__(self, model: Model) -> None:
        self.name = model.name
        self.context_window = model.context_window
        self.hopeless: ModelError | None = None
        self._model = model
        self._answered = False

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        try:
            completion = await self._model.generate(messages, sampling)
        except (AuthenticationFailed, UnknownModel) as error:
            self.hopeless = error
            raise
        except ModelUnreachable as error:
            if not self._answered:
                self.hopeless = error
            raise
        self._answered = True
        return completion

    async def close(self) -> None:
        await self._model.close()
