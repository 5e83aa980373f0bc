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
from itertools import count
from typing import Any, NamedTuple

from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from palaestra.arena.group import Group, Unranked
from palaestra.arena.judges.base import Judge
from palaestra.arena.topologies.registry import AnyTopologyConfig, TopologyName
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import ConfigError, PalaestraError
from palaestra.core.events import Sink, discard
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.training.advantages.rank import rank_advantages

Text = str | Sequence[dict[str, Any]]
"""As TRL has prompts and completions: plain, or messages of a conversation."""


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
        topology: TopologyName | AnyTopologyConfig = "single-elimination",
        config: TournamentConfig = TournamentConfig(),  # noqa: B008
        concurrency: int = 16,
        seed: int = 0,
        emit: Sink = discard,
    ) -> None:
        self.__name__ = "tournament"  # TRL names the metric after the function
        self._group_size = group_size
        self._topology = topology
        self._seed = seed
        self._arena = Tournament(judge, config, concurrency=concurrency, meter=Meter(Budget()), emit=emit)
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
        tasks = map(Task.model_validate_json, task) if task else map(_task, prompts)
        own = [_Answer(*pair) for pair in zip(tasks, map(_text, completions), strict=True)]
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
        groups = [
            self._group(f"{batch}/{start}", answers[start : start + size])
            for start in range(0, len(answers), size)
        ]
        rankings = await self._arena.play(groups)
        advantages: list[float | None] = []
        for group in groups:
            result = rankings[group.id]
            if isinstance(result, Unranked):
                advantages += [None] * size
            else:
                ranks = result.ranks
                advantages += rank_advantages([ranks[each.id] for each in group.contestants]).tolist()
        return advantages

    def _group(self, name: str, answers: Sequence[_Answer]) -> Group:
        task = answers[0].task
        contestants = [
            Trajectory(
                id=f"{name}/{place}", task_id=task.id, agent="policy", status="finished", answer=answer.text
            )
            for place, answer in enumerate(answers)
        ]
        return Group.of(name, task, contestants, self._topology, self._seed)


def _task(prompt: Text) -> Task:
    return Task(id="prompt", prompt=_text(prompt))


def _text(text: Text) -> str:
    return text if isinstance(text, str) else "\n\n".join(message["content"] for message in text)
