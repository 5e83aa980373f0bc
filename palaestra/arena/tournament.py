"""Tournaments of many groups through one queue of judge calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import Field

from palaestra.arena.group import Call, Group, GroupState, Unranked
from palaestra.arena.judges.base import Judge
from palaestra.arena.match import Orders
from palaestra.core.budget import Meter
from palaestra.core.errors import BudgetExceeded, ModelError, PalaestraError
from palaestra.core.events import JudgementGiven, RankingMade, Sink
from palaestra.core.ranking import Ranking
from palaestra.core.record import Record
from palaestra.core.verdict import NoVerdict, Verdict


class TournamentConfig(Record):
    orders: Orders = "both"
    """both: each match is asked twice, with either contestant first; one: once, in the topology's order."""
    retries: int = Field(default=2, ge=0)
    """Times that a pair is asked again in the same order when no verdict could be read."""


_Key = tuple[str, str, str, int]
"""A question within a run: group, first, second, attempt."""


class _Question(NamedTuple):
    state: GroupState
    call: Call

    @property
    def key(self) -> _Key:
        return self.state.group.id, self.call.first, self.call.second, self.call.attempt


class _Answer(NamedTuple):
    question: _Question
    judgement: Verdict | NoVerdict | ModelError


class Tournament:
    """Plays groups with at most `concurrency` judge calls under way, over all groups together.

    A judgement is emitted when it arrives, a ranking when its group is complete. Judgements in `known`,
    those of an earlier start of the same run, are used and never asked again. Contestants with equal
    answers are judged like any others: a match gives points, not only an order.
    """

    def __init__(
        self,
        judge: Judge,
        config: TournamentConfig,
        *,
        concurrency: int,
        meter: Meter,
        emit: Sink,
        known: Iterable[JudgementGiven | RankingMade] = (),
    ) -> None:
        self._judge = judge
        self._config = config
        self._concurrency = concurrency
        self._meter = meter
        self._emit = emit
        self._known: dict[_Key, Verdict | NoVerdict] = {}
        self._ranked: set[str] = set()
        for event in known:
            if isinstance(event, RankingMade):
                self._ranked.add(event.group)
            else:
                self._known[event.group, event.first, event.second, event.attempt] = event.judgement

    async def play(self, groups: Iterable[Group]) -> dict[str, Ranking | Unranked]:
        """The ranking of each group, by its id.

        Raises:
            ModelError: the judge's model does not answer. As with a limit, nothing more is asked then, and
                the calls under way are finished and emitted first.
            BudgetExceeded: a limit of the meter is used up.
        """
        results: dict[str, Ranking | Unranked] = {}
        waiting: deque[_Question] = deque()
        answers: asyncio.Queue[_Answer] = asyncio.Queue()
        under_way = 0
        stopped: PalaestraError | None = None

        def go_on(state: GroupState) -> None:
            waiting.extend(_Question(state, call) for call in state.calls())
            if state.is_over:
                results[state.group.id] = self._conclude(state)

        for group in groups:
            go_on(GroupState(group, self._config.orders, self._config.retries))
        async with asyncio.TaskGroup() as tasks:
            while under_way or (waiting and not stopped):
                if waiting and not stopped and under_way < self._concurrency:
                    question = waiting.popleft()
                    if known := self._known.pop(question.key, None):
                        question.state.take(question.call, known)
                        go_on(question.state)
                    elif (stopped := self._limit()) is None:
                        tasks.create_task(self._ask(question, answers))
                        under_way += 1
                    continue
                (state, call), judgement = await answers.get()
                under_way -= 1
                if isinstance(judgement, ModelError):
                    stopped = stopped or judgement
                else:
                    state.take(call, judgement)
                    go_on(state)
        if stopped:
            raise stopped
        return results

    def _limit(self) -> BudgetExceeded | None:
        try:
            self._meter.reserve()
        except BudgetExceeded as limit:
            return limit
        return None

    def _conclude(self, state: GroupState) -> Ranking | Unranked:
        group, result = state.group.id, state.result()
        if isinstance(result, Ranking) and group not in self._ranked:
            self._emit(RankingMade(group=group, ranking=result))
        return result

    async def _ask(self, question: _Question, answers: asyncio.Queue[_Answer]) -> None:
        state, call = question
        first, second = state.contestants[call.first], state.contestants[call.second]
        try:
            judgement = await self._judge.compare(state.group.task, first, second, call.attempt)
        except ModelError as error:
            answers.put_nowait(_Answer(question, error))
            return
        self._meter.charge("judge", judgement.usage)
        self._emit(
            JudgementGiven(
                group=state.group.id,
                stage=call.pairing.stage,
                first=call.first,
                second=call.second,
                attempt=call.attempt,
                judge=self._judge.name,
                judgement=judgement,
            )
        )
        answers.put_nowait(_Answer(question, judgement))
