"""A scorer that is never asked the same twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from palaestra.arena.judges.scorer import Scored, Scorer
from palaestra.core.errors import ModelError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict


class OnceScorer:
    """Several verdicts may rest on one answer of the model: whoever asks first bears its usage.

    A question is a task, contestants in their order, and an attempt. One that the model did not answer fails
    for all who wait for it, and may be asked again.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._asked: dict[tuple[str, tuple[str, ...], int], asyncio.Task[Scored | NoVerdict]] = {}

    async def score(self, task: Task, contestants: Sequence[Trajectory], attempt: int) -> Scored | NoVerdict:
        """
        Raises:
            ModelError: the model did not answer at all.
        """
        question = (task.id, tuple(contestant.id for contestant in contestants), attempt)
        if known := self._asked.get(question):
            return _without_usage(await asyncio.shield(known))
        asking = asyncio.create_task(self._scorer.score(task, contestants, attempt))
        self._asked[question] = asking
        try:
            return await asyncio.shield(asking)
        except ModelError:
            del self._asked[question]
            raise


def _without_usage(scored: Scored | NoVerdict) -> Scored | NoVerdict:
    if isinstance(scored, NoVerdict):
        return scored.model_copy(update={"usage": Usage()})
    return scored._replace(usage=Usage())
