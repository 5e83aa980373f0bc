"""From groups of trajectories to rewards: by rank in a tournament, by expected rank, or by a utility."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from palaestra.arena.group import Group, Unranked
from palaestra.arena.topologies.base import BudgetedConfig, ClassicalConfig
from palaestra.arena.topologies.registry import AnyTopologyConfig
from palaestra.arena.tournament import Tournament
from palaestra.core.errors import JudgeError, TrainingError
from palaestra.core.ranking import Ranking
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import family
from palaestra.training.advantages.rank import expected_rank_rewards, rank_rewards, shrunken

RewardName = Literal["tournament", "posterior", "utility", "reference", "none"]
"""tournament: by rank, 1 for the best to 0 for the last.
posterior: the same of expected ranks, so that what the judge could hardly tell apart gets nearly the same.
utility: what the task family's program says.
reference: how probable the task's known answer became by the rollout's reasoning (RLPR).
none: 0, for what learns from a teacher alone."""

Groups = Mapping[str, Sequence[Trajectory]]
Rewards = dict[str, list[float]]
"""One for each trajectory of a group, by the group's id; groups that got none are not in it."""


class RewardSource(Protocol):
    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        """
        Raises:
            PalaestraError: no group could be rewarded.
        """
        ...


class UtilityRewards:
    """What each task's own family says of an answer, in [0, 1]."""

    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        return {
            group: [utility(tasks[group], trajectory) for trajectory in contestants]
            for group, contestants in groups.items()
        }


class NoRewards:
    """0 for everybody, without a judge."""

    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        return {group: [0.0] * len(contestants) for group, contestants in groups.items()}


class FinishedRewards:
    """Another source's rewards for answers that came to their end, and one of its own for all others: what
    was cut off must not pass for an answer (AlpacaFarm, arXiv 2305.14387)."""

    def __init__(self, source: RewardSource, unfinished: float) -> None:
        self._source = source
        self._unfinished = unfinished

    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        found = await self._source.rewards(groups, tasks)
        return {
            group: [
                self._unfinished if trajectory.status == "limit" else value
                for trajectory, value in zip(groups[group], values, strict=True)
            ]
            for group, values in found.items()
        }


class TournamentRewards:
    """A tournament within each group, and rewards by the ranking."""

    def __init__(
        self,
        arena: Tournament,
        topology: AnyTopologyConfig,
        seed: int,
        rewarded: Callable[[Ranking, Sequence[str]], list[float]],
    ) -> None:
        """`rewarded` gives the rewards of the contestants with these ids."""
        self._arena = arena
        self._topology = topology
        self._seed = seed
        self._rewarded = rewarded

    async def rewards(self, groups: Groups, tasks: Mapping[str, Task]) -> Rewards:
        """
        Raises:
            JudgeError: no group has a ranking.
        """
        rankings = await self._arena.play(
            Group.of(group, tasks[group], contestants, self._topology, self._seed)
            for group, contestants in groups.items()
        )
        found: Rewards = {}
        failures = set()
        for group, contestants in groups.items():
            ranking = rankings[group]
            if isinstance(ranking, Unranked):
                failures.add(ranking.reason)
            else:
                found[group] = self._rewarded(ranking, [trajectory.id for trajectory in contestants])
        if not found:
            raise JudgeError(
                f"the judge ranked none of {len(groups)} groups ({'; '.join(sorted(failures))}); check it"
            )
        return found


def ranks_by_posterior(topology: AnyTopologyConfig) -> bool:
    """Whether its scores are posterior means, which must not be shrunk once more."""
    if isinstance(topology, ClassicalConfig):
        return topology.rerank is not None
    return isinstance(topology, BudgetedConfig)


def by_rank(ranking: Ranking, names: Sequence[str]) -> list[float]:
    rewards: list[float] = rank_rewards([ranking.ranks[name] for name in names]).tolist()
    return rewards


def by_posterior(ranking: Ranking, names: Sequence[str]) -> list[float]:
    """Expected ranks where the scores are posterior means and the errors posterior deviations."""
    rewards: list[float] = expected_rank_rewards(*_scores(ranking, names)).tolist()
    return rewards


def by_shrunken_scores(ranking: Ranking, names: Sequence[str]) -> list[float]:
    """Expected ranks where the scores are means of what was measured."""
    scores, errors = _scores(ranking, names)
    rewards: list[float] = expected_rank_rewards(*shrunken(scores, errors)).tolist()
    return rewards


def _scores(ranking: Ranking, names: Sequence[str]) -> tuple[list[float], list[float]]:
    standings = {standing.contestant: standing for standing in ranking.standings}
    scores = [standings[name].score for name in names]
    errors = [error for name in names if (error := standings[name].standard_error) is not None]
    if len(errors) < len(names) or not all(map(math.isfinite, errors)):
        raise TrainingError(
            "the ranking has no standard errors to weigh it by; set topology.rerank=posterior, or take "
            "reward=tournament"
        )
    return scores, errors


def utility(task: Task, trajectory: Trajectory) -> float:
    """By the family of the task."""
    return family(task.family).utility(task, trajectory.answer)
