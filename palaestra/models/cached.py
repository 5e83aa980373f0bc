"""A model that never pays twice for the same answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakValueDictionary

from pydantic import ValidationError

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import StoreError
from palaestra.core.record import digest
from palaestra.models.base import Model
from palaestra.store.cache import ResponseCache


def request_key(messages: Sequence[Message], sampling: Sampling) -> str:
    """What is asked: the digest of the messages, in order, and of all of `sampling`."""
    return digest(
        {
            "messages": [message.model_dump(mode="json") for message in messages],
            "sampling": sampling.model_dump(mode="json"),
        }
    )


def cache_key(name: str, api_base: str | None, messages: Sequence[Message], sampling: Sampling) -> str:
    """What is asked and who: the `request_key`, a hyphen, 32 digits of the digest of name and address.

    The address counts, because one name may stand for different models at two servers of one's own.
    """
    return f"{request_key(messages, sampling)}-{digest([name, api_base])[:32]}"


class CachedModel:
    """Answers from the cache what was answered before, and asks `model` for the rest.

    An answer is written when it arrives, with what it cost. Errors are not answers and are never kept.
    Equal requests under way at the same time are asked once. Draws that should differ need different
    `sample_index`es.

    Any model may be wrapped: `CachedModel(local_model, cache)` records a local one, so that `ReplayModel`
    can answer for it later.
    """

    def __init__(self, model: Model, cache: ResponseCache, api_base: str | None = None) -> None:
        self.name = model.name
        self.context_window = model.context_window
        self._model = model
        self._cache = cache
        self._api_base = api_base
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        key = cache_key(self.name, self._api_base, messages, sampling)
        async with self._asking.setdefault(key, asyncio.Lock()):
            stored = self._cache.get(key)
            if stored is not None:
                return read_completion(stored)
            completion = await self._model.generate(messages, sampling)
            self._cache.put(key, completion.model_dump_json())
            return completion

    async def close(self) -> None:
        await self._model.close()


def read_completion(stored: str) -> Completion:
    """A stored completion, marked as such.

    Raises:
        StoreError: it was written by another version, or not by Palaestra.
    """
    try:
        return Completion.model_validate_json(stored).model_copy(update={"cached": True})
    except ValidationError as error:
        raise StoreError(
            "this version of Palaestra cannot read a stored response; start a new run or use the old one"
        ) from error
