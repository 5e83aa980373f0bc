"""The tournament's queue: calls that fail, groups that are opened late, contestants that arrive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from palaestra.arena.group import Arrival, Group, Unranked
from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.core.errors import BudgetExceeded, JudgeError, ModelUnreachable
from palaestra.core.events import Event
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from tests.arena.playing import (
    EXACT,
    SlowJudge,
    group,
    groups,
    judgements,
    play,
    ranking,
)


class Poisoned:
    """Fails to answer whatever concerns one contestant, as a server does that a certain prompt breaks."""

    name = "poisoned"

    def __init__(self, contestant: str, attempts: int) -> None:
        self.calls = 0
        self._contestant = contestant
        self._attempts = attempts

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        self.calls += 1
        await asyncio.sleep(0)
        if self._contestant in (first.id, second.id) and attempt < self._attempts:
            raise ModelUnreachable("the server broke down")
        return await EXACT.compare(task, first, second, attempt)


@pytest.mark.parametrize("concurrency", [1, 3, 16])
def test_a_call_that_alone_goes_unanswered_is_asked_again_like_one_without_a_verdict(
    concurrency: int,
) -> None:
    events: list[Event] = []
    results = asyncio.run(play(Poisoned("g1-2", 1), groups(3, 4), events, concurrency=concurrency))
    assert results == asyncio.run(play(EXACT, groups(3, 4), []))
    failed = [each for each in judgements(events) if isinstance(each.judgement, NoVerdict)]
    assert failed
    assert {each.judgement.reason for each in failed if isinstance(each.judgement, NoVerdict)} == {
        "the server broke down"
    }
    keys = Counter((each.first, each.second, each.attempt) for each in judgements(events))
    assert set(keys.values()) == {1}


def test_a_pair_that_always_goes_unanswered_ends_without_a_verdict_and_the_others_go_on() -> None:
    events: list[Event] = []
    judge = Poisoned("g1-2", 99)
    results = asyncio.run(play(judge, groups(3, 4, "round-robin"), events, concurrency=4))
    assert [ranking(results[f"g{n}"]).undecided for n in range(3)] == [0, 3, 0]
    assert judge.calls == len(judgements(events)) == 3 * 12 + 2 * 6


def test_a_judge_that_never_answers_is_given_up_after_one_round_with_nothing_recorded() -> None:
    events: list[Event] = []
    judge = SlowJudge(dies_after=0)
    with pytest.raises(ModelUnreachable):
        asyncio.run(play(judge, groups(4, 4), events, concurrency=8))
    assert not events
    assert judge.calls < 2 * 8


class Watched:
    """Notes the order of the questions and which groups were met before."""

    name = "watched"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.met: list[set[str]] = []
        self.left: list[set[str]] = []

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        assert any({first.id, second.id} <= group for group in self.met)
        self.asked.append((first.id, second.id))
        await asyncio.sleep(0)
        return Verdict.from_scores(6, 4)

    def meet(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        self.met.append({each.id for each in contestants})

    def leave(self, task: Task, contestants: Sequence[Trajectory]) -> None:
        self.left.append({each.id for each in contestants})


def test_groups_are_opened_one_by_one_while_slots_are_free() -> None:
    """So that memory does not grow with their number: a generator of groups is never far ahead."""
    judge, opened, most_ahead = Watched(), 0, 0

    def endless() -> Iterable[Group]:
        nonlocal opened, most_ahead
        for opened, each in enumerate(groups(200, 4), start=1):
            most_ahead = max(most_ahead, opened - len(judge.asked) // 12)
            yield each

    asyncio.run(play(judge, endless(), [], concurrency=16))
    assert opened == 200
    assert most_ahead <= 6


def test_the_longest_evidence_is_asked_first_and_equal_beginnings_in_a_row() -> None:
    judge = Watched()
    to_play = [group("g", [1, 100, 10, 1000], "round-robin")]
    asyncio.run(play(judge, to_play, [], concurrency=1))
    firsts = [int(first.removeprefix("g-")) for first, _ in judge.asked]
    assert firsts == [3, 3, 3, 1, 1, 1, 2, 2, 2, 0, 0, 0]
    assert [second for _, second in judge.asked[:3]] == ["g-1", "g-2", "g-0"]


def test_matches_start_while_contestants_still_arrive() -> None:
    whole = groups(2, 4, "round-robin")
    judge = SlowJudge()
    judged_before_the_last: list[int] = []

    async def arriving() -> AsyncIterator[Group | Arrival]:
        for each in whole:
            names = [contestant.id for contestant in each.contestants]
            yield Group.awaiting(each.id, each.task, names, "round-robin", seed=1)
        for contestants in zip(*(each.contestants for each in whole), strict=True):
            for each, contestant in zip(whole, contestants, strict=True):
                yield Arrival(each.id, contestant)
            await asyncio.sleep(0.05)
            judged_before_the_last.append(judge.finished)

    events: list[Event] = []
    results = asyncio.run(play(judge, arriving(), events))
    assert judged_before_the_last == [0, 2 * 2, 6 * 2, 12 * 2]
    assert results == asyncio.run(play(SlowJudge(), groups(2, 4, "round-robin"), []))


def test_who_never_arrives_leaves_the_group_without_a_ranking_and_a_judge_of_groups_waits_for_all() -> None:
    judge = Watched()
    late = group("late", [1, 2, 3])

    async def arriving() -> AsyncIterator[Group | Arrival]:
        for each in (late, group("lost", [1, 2, 3])):
            names = [contestant.id for contestant in each.contestants]
            yield Group.awaiting(each.id, each.task, names, "anchor", seed=1)
        yield Arrival("lost", group("lost", [1]).contestants[0])
        for contestant in late.contestants:
            await asyncio.sleep(0.01)
            assert not judge.asked
            yield Arrival("late", contestant)

    results = asyncio.run(play(judge, arriving(), []))
    assert ranking(results["late"]).undecided == 0
    assert results["lost"] == Unranked("lost-1, lost-2 never arrived")
    assert judge.met == judge.left == [{"late-0", "late-1", "late-2"}]


def test_a_source_that_still_waits_is_closed_when_the_tournament_stops() -> None:
    closed = False

    async def waiting_for_ever() -> AsyncIterator[Group]:
        nonlocal closed
        try:
            for each in groups(2, 4):
                yield each
            await asyncio.Event().wait()
        finally:
            closed = True

    with pytest.raises(BudgetExceeded):
        asyncio.run(play(SlowJudge(cost=0.01), waiting_for_ever(), [], cost=0.05))
    assert closed


def test_an_error_of_the_judge_itself_ends_the_play_at_once() -> None:
    out_of_scale = ProgrammaticJudge("off", lambda task, trajectory: 11.0)
    with pytest.raises(JudgeError, match="scale it to 0 to 10"):
        asyncio.run(play(out_of_scale, groups(4, 4), []))
