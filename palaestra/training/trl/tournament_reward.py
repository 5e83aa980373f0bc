"""Tournaments for TRL: a reward function whose rewards are rank advantages (ArenaRL, arXiv 2601.06487).

    reward = TournamentReward(judge, group_size=8)
    GRPOTrainer(model, reward, GRPOConfig(num_generations=8, scale_rewards="none", …), train_dataset)

TRL hands each process its own slice of the completions, which can cut a group in two; here they are gathered
first, so that the judge always sees whole groups. With `scale_rewards="none"` TRL subtracts the mean of a
group, which is 0 already, and the advantages pass unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count, repeat
from typing import Any, NamedTuple

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from palaestra.arena.judges.base import Judge
from palaestra.arena.topologies.registry import AnyTopologyConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import ConfigError, PalaestraError
from palaestra.core.events import Sink, discard
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.outside_answers import Text, contestants, task_of, text_of
from palaestra.training.rewards import TournamentRewards


class _Answer(NamedTuple):
    task: Task
    text: str


class TournamentReward:
    """Ranks the completions of each prompt in a tournament; a group without a verdict has no rewards.

    A column `task` of the data set, with tasks as JSON, tells the judge more than the prompt does. The judge
    is asked by the main process alone; an error there is raised in every process.
    """

    def __init__(
        self,
        judge: Judge,
        group_size: int,
        topology: AnyTopologyConfig = SingleEliminationConfig(),  # noqa: B008
        config: TournamentConfig = TournamentConfig(),  # noqa: B008
        concurrency: int = 16,
        seed: int = 0,
        emit: Sink = discard,
    ) -> None:
        self.__name__ = "tournament"  # TRL names the metric after the function
        self._group_size = group_size
        arena = Tournament(judge, config, concurrency=concurrency, meter=Meter(Budget()), emit=emit)
        self._rewards = TournamentRewards(arena, topology, seed, _by_rank)
        self._loop = asyncio.Runner()  # one for all calls, since connections belong to their loop
        self._batches = count()

    def __call__(
        self,
        prompts: Sequence[Text],
        completions: Sequence[Text],
        task: Sequence[str] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """
        Raises:
            ConfigError: the completions are no whole groups.
            PalaestraError: as of a tournament.
        """
        tasks = map(task_of, prompts, task or repeat(None))
        own = [_Answer(*pair) for pair in zip(tasks, map(text_of, completions), strict=True)]
        everybodys: list[_Answer] = gather_object(own)
        state = PartialState()
        outcome = [self._advantages(everybodys) if state.is_main_process else None]
        broadcast_object_list(outcome)
        (found,) = outcome
        if isinstance(found, PalaestraError):
            raise found
        assert found is not None  # the main process told everybody
        start = state.process_index * len(own)
        return found[start : start + len(own)]

    def _advantages(self, answers: Sequence[_Answer]) -> list[float | None] | PalaestraError:
        try:
            return self._loop.run(self._play(answers))
        except PalaestraError as error:
            return error

    async def _play(self, answers: Sequence[_Answer]) -> list[float | None]:
        size = self._group_size
        if len(answers) % size:
            raise ConfigError(
                f"{len(answers)} completions are no whole groups of {size}; make group_size num_generations"
            )
        batch = next(self._batches)
        tasks = {f"{batch}/{start}": answers[start].task for start in range(0, len(answers), size)}
        groups = {
            name: contestants(name, task, [each.text for each in answers[start : start + size]])
            for start, (name, task) in zip(range(0, len(answers), size), tasks.items(), strict=True)
        }
        found = await self._rewards.rewards(groups, tasks)
        nothing: list[float | None] = [None] * size
        return [value for name in groups for value in found.get(name, nothing)]


def _by_rank(ranking: Ranking, names: Sequence[str]) -> list[float]:
    advantages: list[float] = rank_advantages([ranking.ranks[name] for name in names]).tolist()
    return advantages
