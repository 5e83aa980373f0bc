"""Tournaments of many groups through one queue of judge calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable
from typing import Any, NamedTuple, TypeVar

from pydantic import Field

from palaestra.arena.group import Arrival, Call, Group, GroupState, Unranked
from palaestra.arena.judges.base import GroupJudge, Judge
from palaestra.arena.topologies.base import Orders
from palaestra.core.budget import Meter
from palaestra.core.errors import (
    AuthenticationFailed,
    BudgetExceeded,
    ModelError,
    PalaestraError,
    UnknownModel,
)
from palaestra.core.events import JudgementGiven, RankingMade, Sink
from palaestra.core.ranking import Ranking
from palaestra.core.record import Record
from palaestra.core.verdict import NoVerdict, Verdict

T = TypeVar("T")

PATIENCE = 4
"""Failures in a row after which the judge's model is given up, or as many as may be under way at once."""


class TournamentConfig(Record):
    orders: Orders = "both"
    """both: each match is asked twice, with either contestant first; one: once, in the topology's order."""
    retries: int = Field(default=2, ge=0)
    """Times that a pair is asked again in the same order when no verdict could be read."""


Entry = Group | Arrival
"""What a tournament is fed with: a group, and later on whoever it awaits."""
Entries = Iterable[Entry] | AsyncIterable[Entry]


class Result(NamedTuple):
    group: str
    ranking: Ranking | Unranked


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


class _Failure(NamedTuple):
    question: _Question
    error: ModelError


class Tournament:
    """Plays groups with at most `concurrency` judge calls under way, over all groups together.

    A judgement is emitted when it arrives, a ranking when its group is complete. Judgements in `known`,
    those of an earlier start of the same run, are used and never asked again. Contestants with equal
    answers are judged like any others: a match gives points, not only an order.

    A call that the judge's model fails to answer while it answers others is a `NoVerdict`, and asked again
    like any. It stops the tournament when the key or the name is wrong, or when as many calls in a row fail
    as may be under way at once; these are not recorded, so that a resumed run asks anew.
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
        self.config = config
        self.concurrency = concurrency
        self.meter = meter
        self.judge = judge
        self._emit = emit
        self._known: dict[_Key, Verdict | NoVerdict] = {}
        self._ranked: set[str] = set()
        for event in known:
            if isinstance(event, RankingMade):
                self._ranked.add(event.group)
            else:
                self._known[event.group, event.first, event.second, event.attempt] = event.judgement

    async def play(self, entries: Entries) -> dict[str, Ranking | Unranked]:
        """The ranking of each group, by its id.

        Raises:
            ModelError: the judge's model does not answer. As with a limit, nothing more is asked then, and
                the calls under way are finished and emitted first.
            BudgetExceeded: a limit of the meter is used up.
        """
        return {group: ranking async for group, ranking in self.results(entries)}

    async def results(self, entries: Entries) -> AsyncGenerator[Result]:
        """The same, each as soon as its group is complete.

        Groups are opened one after the other while there is room in the queue, so `entries` may be of any
        length, and may give groups whose contestants are still at work: a match is played as soon as its
        two have arrived.
        """
        play = _Play(self, entries)
        try:
            going = True
            while going:
                going = await play.step()
                while play.finished:
                    yield play.finished.popleft()
        finally:
            await play.close()
        if play.stopped:
            raise play.stopped

    def recall(self, key: _Key) -> Verdict | NoVerdict | None:
        """The judgement of an earlier start, once."""
        return self._known.pop(key, None)

    def conclude(self, state: GroupState) -> Result:
        group, ranking = state.group.id, state.result()
        if isinstance(ranking, Ranking) and group not in self._ranked:
            self._emit(RankingMade(group=group, ranking=ranking))
        return Result(group, ranking)

    async def ask(self, question: _Question) -> _Answer:
        state, call = question
        first, second = state.contestants[call.first], state.contestants[call.second]
        try:
            judgement = await self.judge.compare(state.group.task, first, second, call.attempt)
        except ModelError as error:
            return _Answer(question, error)
        self.meter.charge("judge", judgement.usage)
        self.record(question, judgement)
        return _Answer(question, judgement)

    def record(self, question: _Question, judgement: Verdict | NoVerdict) -> None:
        state, call = question
        self._emit(
            JudgementGiven(
                group=state.group.id,
                stage=call.pairing.stage,
                first=call.first,
                second=call.second,
                attempt=call.attempt,
                judge=self.judge.name,
                judgement=judgement,
            )
        )


class _Play:
    """One play: the groups that are open, the questions that wait, the calls under way."""

    def __init__(self, arena: Tournament, entries: Entries) -> None:
        self.finished: deque[Result] = deque()
        self.stopped: PalaestraError | None = None
        self._arena = arena
        self._entries = _each(entries)
        self._reader: asyncio.Task[Entry | None] | None = None
        self._all_read = False
        self._open: dict[str, GroupState] = {}
        self._waiting: deque[_Question] = deque()
        self._calls: dict[asyncio.Task[_Answer], int] = {}
        """Under way, with the number of each: how many were asked before it."""
        self._asked = 0
        self._has_answered = False
        self._failures: dict[int, _Failure] = {}
        """By number: those after which no call was asked and answered yet."""
        self._done: asyncio.Queue[asyncio.Task[Any]] = asyncio.Queue()

    async def step(self) -> bool:
        """Start what can be started and take the next thing that arrives; False when nothing is left."""
        self._start_calls()
        self._read_on()
        if not self._calls and self._reader is None:
            return self._settle()
        task = await self._done.get()
        if task is self._reader:
            self._reader = None
            if not task.cancelled():
                self._enter(task.result())
        elif task in self._calls:
            self._take(self._calls.pop(task), task.result())
        return True

    async def close(self) -> None:
        tasks = [*self._calls, *([self._reader] if self._reader else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._entries.aclose()

    def _start_calls(self) -> None:
        while self._waiting and not self.stopped and len(self._calls) < self._arena.concurrency:
            question = self._waiting.popleft()
            if known := self._arena.recall(question.key):
                self._decide(question, known)
                continue
            try:
                self._arena.meter.reserve()
            except BudgetExceeded as limit:
                self.stopped = limit
            else:
                self._calls[self._start(self._arena.ask(question))] = self._asked
                self._asked += 1

    def _read_on(self) -> None:
        """Read the next entry when all slots will soon be free, and none any more once nothing is asked: few
        groups are open at a time, however many there are, and the last ones finish together."""
        if self.stopped and self._reader and not self._all_read:
            self._all_read = True
            self._reader.cancel()
        has_room = len(self._waiting) < self._arena.concurrency
        if has_room and not (self._reader or self._all_read or self.stopped):
            self._reader = self._start(anext(self._entries, None))

    def _start(self, work: Awaitable[T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._done.put_nowait)
        return task

    def _enter(self, entry: Entry | None) -> None:
        match entry:
            case None:
                self._all_read = True
            case Group():
                state = GroupState(entry, self._arena.config.orders, self._arena.config.retries)
                self._open[entry.id] = state
                self._welcome(state)
            case Arrival():
                state = self._open[entry.group]
                state.enter(entry.trajectory)
                self._welcome(state)

    def _welcome(self, state: GroupState) -> None:
        """Go on with whoever has arrived. A judge that looks at whole groups waits for the last."""
        judge, missing = self._arena.judge, state.missing
        if isinstance(judge, GroupJudge):
            if missing:
                return
            judge.meet(state.group.task, list(state.contestants.values()))
        self._go_on(state)

    def _take(self, number: int, answer: _Answer) -> None:
        """A failure is put down to the call itself when one that was asked after it is answered."""
        question, judgement = answer
        if isinstance(judgement, ModelError):
            self._failures[number] = _Failure(question, judgement)
            if isinstance(judgement, AuthenticationFailed | UnknownModel) or self._is_given_up():
                self.stopped = self.stopped or judgement
            return
        self._has_answered = True
        self._decide(question, judgement)
        if not self.stopped:
            self._record_failures(before=number)

    def _is_given_up(self) -> bool:
        """Not while only questions are left that went without an answer before: then it is for them alone."""
        in_a_row = len(self._failures) >= max(PATIENCE, self._arena.concurrency)
        is_untried = (question.call.attempt == 0 for question in self._waiting)
        return in_a_row and (not self._has_answered or any(is_untried))

    def _record_failures(self, before: int) -> None:
        for number in [failed for failed in self._failures if failed < before]:
            question, error = self._failures.pop(number)
            judgement = NoVerdict(reason=str(error))
            self._arena.record(question, judgement)
            self._decide(question, judgement)

    def _decide(self, question: _Question, judgement: Verdict | NoVerdict) -> None:
        question.state.take(question.call, judgement)
        self._go_on(question.state)

    def _go_on(self, state: GroupState) -> None:
        """Queue what can be asked now: the longest evidence first, so that no long call is left for the end,
        and those with the same contestant first in a row, so that a provider can use its prompt cache."""

        def order(call: Call) -> tuple[int, str, int]:
            return -state.evidence[call.first], call.first, -state.evidence[call.second]

        self._waiting.extend(_Question(state, call) for call in sorted(state.calls(), key=order))
        if state.is_over and not state.missing:
            del self._open[state.group.id]
            if isinstance(self._arena.judge, GroupJudge):
                self._arena.judge.leave(state.group.task, list(state.contestants.values()))
            self.finished.append(self._arena.conclude(state))

    def _settle(self) -> bool:
        """Nothing is under way: whether there is more to ask."""
        if self.stopped:
            return False
        if self._failures and self._has_answered:
            self._record_failures(before=self._asked)
            return True
        for failure in self._failures.values():
            self.stopped = failure.error
        for group, state in self._open.items():
            self.finished.append(Result(group, Unranked(f"{', '.join(state.missing)} never arrived")))
        return False


async def _each(entries: Entries) -> AsyncGenerator[Entry]:
    if isinstance(entries, AsyncIterable):
        async for entry in entries:
            yield entry
    else:
        for entry in entries:
            yield entry
