"""A language model that sees a whole group at once."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
    for the whole group, whatever its size. The first pair that a list decides bears its usage. A contestant
    may be in several groups of one task; two whom `meet` has not introduced together are a group of two.
    """

    def __init__(self, model: Model, config: ListwiseJudgeConfig, seed: int = 0) -> None:
        self.name = f"listwise/{model.name}"
        self._scorer = OnceScorer(Scorer(model, config, seed))
        self._seed = seed
        self._groups: dict[str, dict[frozenset[str], Sequence[Trajectory]]] = defaultdict(dict)
        """By task and by the ids of the contestants."""

    def meet(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        in_order = sorted(contestants, key=lambda contestant: contestant.id)
        random.Random(derive_seed(self._seed, task.id)).shuffle(in_order)
        self._groups[task.id][_ids(contestants)] = in_order

    def leave(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        self._groups[task.id].pop(_ids(contestants), None)
        if not self._groups[task.id]:
            del self._groups[task.id]

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        pair = {first.id, second.id}
        groups = self._groups.get(task.id, {})
        group = next((group for ids, group in groups.items() if pair <= ids), (first, second))
        places = [contestant.id for contestant in group]
        if places.index(first.id) > places.index(second.id):
            group, places = group[::-1], places[::-1]
        [scored] = await self._scorer.score(task, [group], attempt)
        if isinstance(scored, NoVerdict):
            return scored
        return pair_verdict(scored, places.index(first.id), places.index(second.id))


def _ids(contestants: Iterable[Trajectory]) -> frozenset[str]:
    return frozenset(contestant.id for contestant in contestants)
