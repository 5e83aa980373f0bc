"""The person at the terminal: what is shown, what the keys mean, and how judging stops."""

from __future__ import annotations

import asyncio
import io
from itertools import combinations

import pytest

from palaestra.arena.judges.human import HumanJudge, HumanJudgeConfig
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict

TASK = Task(id="t", prompt="Plan an evening in Porto with a garden, a concert and a dinner.")


def answer(text: str, id: str) -> Trajectory:
    return Trajectory(id=id, task_id="t", agent=id, status="finished", answer=text)


GROUP = [answer(f"Plan {number}.", f"{number}") for number in range(8)]


def sit(keys: str) -> tuple[HumanJudge, io.StringIO]:
    screen = io.StringIO()
    return HumanJudge(HumanJudgeConfig(), io.StringIO(keys), screen), screen


def test_a_person_sees_both_in_the_order_of_the_call_and_no_name() -> None:
    judge, screen = sit("1\n x \n2\nT\n")
    first, second = answer("LEFT \x1b[31mplan [bold]", "secret-one"), answer("RIGHT", "secret-two")

    async def three() -> list[Verdict | NoVerdict]:
        return [
            await judge.compare(TASK, *pair) for pair in ((first, second), (second, first), (first, second))
        ]

    scores = [judgement.scores for judgement in asyncio.run(three()) if isinstance(judgement, Verdict)]
    assert scores == [(10, 0), (0, 10), (5, 5)]
    shown = screen.getvalue()
    assert "secret" not in shown
    assert "\x1b[31m" not in shown
    assert "[bold]" in shown
    lines = [line for line in shown.splitlines() if "LEFT" in line]
    assert [line.index("LEFT") < line.index("RIGHT") for line in lines] == [True, False, True]
    assert TASK.prompt in shown


def test_a_skipped_pair_is_no_verdict_and_not_shown_again() -> None:
    judge, screen = sit("s\n1\n")

    async def twice() -> list[Verdict | NoVerdict]:
        return [
            await judge.compare(TASK, GROUP[0], GROUP[1]),
            await judge.compare(TASK, GROUP[0], GROUP[1], attempt=1),
            await judge.compare(TASK, GROUP[1], GROUP[0]),
        ]

    skipped, again, other = asyncio.run(twice())
    assert skipped == again == NoVerdict(reason="skipped")
    assert isinstance(other, Verdict)
    assert screen.getvalue().count("[q] stop") == 2


@pytest.mark.parametrize("keys", ["q\n", ""])
def test_stopping_or_the_end_of_the_input_interrupts_like_ctrl_c(keys: str) -> None:
    judge, screen = sit("1\n" + keys)
    given: list[Verdict | NoVerdict] = []

    async def one(pair: tuple[Trajectory, Trajectory]) -> None:
        given.append(await judge.compare(TASK, *pair))

    async def all_pairs() -> None:
        async with asyncio.TaskGroup() as tasks:
            for pair in combinations(GROUP, 2):
                tasks.create_task(one(pair))

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(all_pairs())
    assert len(given) == 1
    assert screen.getvalue().count("[q] stop") == 2
