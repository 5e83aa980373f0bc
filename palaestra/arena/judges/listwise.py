"""A language model that sees a whole group at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from palaestra.arena.judges.llm import pair_verdict
from palaestra.arena.judges.once import OnceScorer
from palaestra.arena.judges.scorer import Scorer, ScorerConfig
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.base import Model


class ListwiseJudgeConfig(ScorerConfig):
    kind: Literal["listwise"] = "listwise"


class ListwiseJudge:
    """Scores all contestants of a group in one answer; a pair's verdict is what the list says of it.

    The list is shown in a random order, and once more in the opposite one: whoever is first in a pair comes
    before the other in the list that decides it. A round-robin in both orders therefore takes two questions
    for the whole group, whatever its size. The first pair that needs a list bears its usage. Contestants that
    `meet` has not introduced are judged as a group of two.
    """

    def __init__(self, model: Model, config: ListwiseJudgeConfig, seed: int = 0) -> None:
        self.name = f"listwise/{model.name}"
        self._scorer = OnceScorer(Scorer(model, config, seed))
        self._seed = seed
        self._groups: dict[tuple[str, str], Sequence[Trajectory]] = {}

    def meet(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        in_order = sorted(contestants, key=lambda contestant: contestant.id)
        random.Random(derive_seed(self._seed, task.id)).shuffle(in_order)
        for contestant in in_order:
            self._groups[task.id, contestant.id] = in_order

    def leave(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        for contestant in contestants:
            self._groups.pop((task.id, contestant.id), None)

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        group = self._groups.get((task.id, first.id), ())
        if second.id not in (contestant.id for contestant in group):
            group = (first, second)
        places = [contestant.id for contestant in group]
        if places.index(first.id) > places.index(second.id):
            group, places = group[::-1], places[::-1]
        scored = await self._scorer.score(task, group, attempt)
        if isinstance(scored, NoVerdict):
            return scored
        return pair_verdict(scored, places.index(first.id), places.index(second.id))
