from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import permutations

import pytest

from palaestra.arena.judges.base import GroupJudge
from palaestra.arena.judges.listwise import ListwiseJudge, ListwiseJudgeConfig
from palaestra.arena.judges.pointwise import PointwiseJudge, PointwiseJudgeConfig
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ModelUnreachable
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.models.programs.echo import nonsense
from palaestra.models.programs.judge import judge as competent
from palaestra.models.scripted import ScriptedModel
from tests.arena.judges.plans import (
    GROUP,
    MODEL,
    TASK,
    Listener,
    ask,
    scripted,
)


def test_a_list_is_asked_in_both_directions_and_decides_every_pair() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL), seed=3)
    assert isinstance(judge, GroupJudge)
    judge.meet(TASK, GROUP)
    pairs = list(permutations(GROUP, 2))
    verdicts = ask(judge, pairs)
    for (first, second), verdict in zip(pairs, verdicts, strict=True):
        assert verdict.winner == ("first" if first.id > second.id else "second")
    assert sum(verdict.usage.calls for verdict in verdicts) == len(listener.requests) == 2
    orders = [
        [line for line in request.split("\n") if "In the evening" in line] for request in listener.requests
    ]
    assert orders[0] == orders[1][::-1]
    assert orders[0] not in (sorted(orders[0]), sorted(orders[0])[::-1])
    for first, second in pairs:
        [shown] = [
            order for order in orders if order.index(f"> {first.answer}") < order.index(f"> {second.answer}")
        ]
        assert shown in orders


def test_a_list_of_strangers_is_the_pair_and_a_bad_list_fails_all_its_pairs_once() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL))
    assert ask(judge, [(GROUP[0], GROUP[5])])[0].winner == "second"
    judge.meet(TASK, GROUP)
    judge.leave(TASK, GROUP)
    assert ask(judge, [(GROUP[1], GROUP[2])])[0].usage.calls == 1
    assert "contestant C" not in "".join(listener.requests)
    bad = ListwiseJudge(scripted(nonsense), ListwiseJudgeConfig(model=MODEL))
    bad.meet(TASK, GROUP)

    async def two_pairs() -> list[Verdict | NoVerdict]:
        return [await bad.compare(TASK, GROUP[0], other) for other in GROUP[1:3]]

    judgements = asyncio.run(two_pairs())
    assert all(isinstance(judgement, NoVerdict) for judgement in judgements)
    assert sum(judgement.usage.calls for judgement in judgements) <= 2


def test_a_contestant_in_several_groups_is_shown_with_the_group_of_the_pair() -> None:
    listener = Listener()
    judge = ListwiseJudge(scripted(listener), ListwiseJudgeConfig(model=MODEL))
    alone, *others = GROUP[:7]
    groups = [[alone, *others[turn : turn + 2]] for turn in (0, 2, 4)]
    for group in groups:
        judge.meet(TASK, group)
    for group in groups:
        ask(judge, list(permutations(group, 2)))
        judge.leave(TASK, group)
    assert len(listener.requests) == 2 * len(groups)
    assert all("contestant C" in request for request in listener.requests)


def test_the_first_verdict_that_has_all_its_answers_bears_their_usage() -> None:
    """So that one that is stored never rests on an answer whose usage would be lost with another."""
    slow = asyncio.Event()

    class Waiting(ScriptedModel):
        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            if GROUP[2].answer in messages[1].content:
                await slow.wait()
            return await super().generate(messages, sampling)

    judge = PointwiseJudge(Waiting("scripted/waiting", competent), PointwiseJudgeConfig(model=MODEL))

    async def calls() -> tuple[int, int]:
        later = asyncio.create_task(judge.compare(TASK, GROUP[1], GROUP[2]))
        await asyncio.sleep(0)
        sooner = await judge.compare(TASK, GROUP[0], GROUP[1])
        slow.set()
        return sooner.usage.calls, (await later).usage.calls

    assert asyncio.run(calls()) == (2, 1)


def test_a_question_that_failed_is_asked_again_and_only_those_who_waited_failed() -> None:
    class Flaky(ScriptedModel):
        failures = 1

        async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
            if self.failures:
                self.failures -= 1
                raise ModelUnreachable("m: no answer")
            return await super().generate(messages, sampling)

    judge = PointwiseJudge(Flaky("scripted/flaky", competent), PointwiseJudgeConfig(model=MODEL))
    with pytest.raises(ModelUnreachable):
        ask(judge, [(GROUP[0], GROUP[1])])
    [verdict] = ask(judge, [(GROUP[0], GROUP[1])])
    assert verdict.usage.calls == 2  # one of them is of the first time: no verdict bore it then
