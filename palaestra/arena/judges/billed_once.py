"""A judge's model whose answers are billed once in a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.events import JudgementGiven
from palaestra.core.usage import Usage
from palaestra.models.base import Model
from palaestra.models.cached import request_key


class BilledOnce:
    """Takes the usage off an answer from the cache that a judgement of the same run bears already.

    An answer in the cache that no judgement bears arrived just before the run was killed: it is billed now.
    """

    def __init__(self, model: Model, billed: Iterable[str]) -> None:
        self.name = model.name
        self.context_window = model.context_window
        self._model = model
        self._billed = set(billed)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        completion = await self._model.generate(messages, sampling)
        request = request_key(messages, sampling)
        if completion.cached and request in self._billed:
            return completion.model_copy(update={"usage": Usage()})
        self._billed.add(request)
        return completion

    async def close(self) -> None:
        await self._model.close()


def billed_requests(events: Iterable[JudgementGiven]) -> set[str]:
    """The digests of the requests on whose answers the judgements rest."""
    return {
        request
        for event in events
        for said in (event.judgement, *event.judgement.votes)
        for request in said.request.split()
    }
