"""How much judging would take, before anything is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from palaestra.arena.group import evidence_size
from palaestra.arena.judges.base import GroupJudge, Judge
from palaestra.arena.judges.human import HumanJudgeConfig
from palaestra.arena.judges.registry import open_judge
from palaestra.arena.judging import JudgeConfig, groups_of, load_prompts
from palaestra.arena.leaderboard import usage_by_judge
from palaestra.arena.tournament import Tournament
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import ConfigError
from palaestra.core.events import Event, JudgementGiven
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage, total
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.estimate import estimating


class Forecast(NamedTuple):
    groups: int
    questions: int
    """Pairs that are shown to the judge, repeats not counted."""
    usage: Mapping[str, Usage]
    """By judge, at most: every answer as long as it may be."""

    @property
    def cost(self) -> float | None:
        """US dollars at most; None where a price is unknown."""
        return total(self.usage.values()).cost


async def foresee(config: JudgeConfig) -> Forecast:
    """Play what `config` describes with models that only count what they are shown.

    The longer of two contestants wins, so that the longest meet as often as they can.

    Raises:
        ConfigError, DataError: as for the work itself.
    """
    groups: set[str] = set()
    questions = 0
    usage: dict[str, Usage] = defaultdict(Usage)

    def count(event: Event) -> None:
        nonlocal questions
        if isinstance(event, JudgementGiven):
            groups.add(event.group)
            questions += 1
            for judge, consumed in usage_by_judge(event):
                usage[judge] += consumed

    async with open_judge(estimating(config.judge), config.seed) as judge:
        tournament = Tournament(
            _LongerWins(judge, asks=not isinstance(config.judge, HumanJudgeConfig)),
            config.tournament,
            concurrency=config.concurrency,
            meter=Meter(Budget(turns=None)),
            emit=count,
        )
        async for _ in tournament.results(groups_of(load_prompts(config), config)):
            pass
    return Forecast(len(groups), questions, dict(usage))


async def calls_for(dollars: float, config: JudgeConfig) -> int:
    """How many judge calls each group may have so that all of them together cost no more than `dollars`.

    Raises:
        ConfigError: the price is unknown, nothing, or too high for a single call.
    """
    expected = await foresee(config)
    if not expected.cost:
        raise ConfigError(
            f"{', '.join(expected.usage)} has no known price; give the budget in calls, not in dollars"
        )
    calls = int(dollars / expected.groups / (expected.cost / expected.questions))
    if not calls:
        raise ConfigError(
            f"a budget of ${dollars:g} does not pay for one call in each of {expected.groups} groups; "
            "raise it or set a limit"
        )
    return calls


class _LongerWins:
    """Asks a judge whose models only count, and puts the longer contestant first whatever it says."""

    def __init__(self, judge: Judge, asks: bool) -> None:
        self.name = judge.name
        self._judge = judge
        self._asks = asks

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        verdict = Verdict.from_scores(*(10 * (1 - 1 / (1 + evidence_size(each))) for each in (first, second)))
        if not self._asks:
            return verdict
        said = await self._judge.compare(task, first, second, attempt)
        return verdict.model_copy(update={"usage": said.usage, "votes": said.votes})

    def meet(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        if isinstance(self._judge, GroupJudge):
            self._judge.meet(task, contestants)

    def leave(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        if isinstance(self._judge, GroupJudge):
            self._judge.leave(task, contestants)
