"""The programmatic judge: exact without noise, reproducible with it."""

from __future__ import annotations

import asyncio
import statistics

import pytest

from palaestra.arena.judges.programmatic import ProgrammaticJudge, ProgrammaticJudgeConfig
from palaestra.arena.judges.registry import open_judge
from palaestra.core.errors import ConfigError, JudgeError
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import Verdict
from palaestra.datasets.families import family


def answer(id: str, text: str) -> Trajectory:
    return Trajectory(id=id, task_id="t", agent="a", status="finished", answer=text)


def worth(task: Task, trajectory: Trajectory) -> float:
    return float(trajectory.answer)


def compare(judge: ProgrammaticJudge, first: Trajectory, second: Trajectory, attempt: int = 0) -> Verdict:
    verdict = asyncio.run(judge.compare(Task(id="t", prompt="?"), first, second, attempt))
    assert isinstance(verdict, Verdict)
    return verdict


STRONG, WEAK = answer("s", "6.5"), answer("w", "4")


def test_scores_are_the_utilities() -> None:
    judge = ProgrammaticJudge("worth", worth)
    assert compare(judge, STRONG, WEAK) == Verdict(winner="first", scores=(6.5, 4))
    assert compare(judge, WEAK, STRONG).winner == "second"
    assert compare(judge, STRONG, answer("s2", "6.5")).winner == "tie"


def test_the_noise_follows_from_seed_pair_order_and_attempt() -> None:
    judge = ProgrammaticJudge("worth", worth, noise=1.0, seed=3)
    again = ProgrammaticJudge("worth", worth, noise=1.0, seed=3)
    assert compare(judge, STRONG, WEAK) == compare(again, STRONG, WEAK)
    drawn = {
        compare(judge, STRONG, WEAK).scores,
        compare(judge, STRONG, WEAK, attempt=1).scores,
        compare(judge, WEAK, STRONG).scores[::-1],
        compare(ProgrammaticJudge("worth", worth, noise=1.0, seed=4), STRONG, WEAK).scores,
    }
    assert len(drawn) == 4


def test_noise_and_position_bias_are_as_large_as_configured() -> None:
    judge = ProgrammaticJudge("worth", worth, noise=0.5, position_bias=0.8)
    verdicts = [compare(judge, answer(f"{n}", "5"), WEAK) for n in range(1500)]
    first, second = zip(*(verdict.scores for verdict in verdicts), strict=True)
    assert statistics.mean(first) == pytest.approx(5.8, abs=0.06)
    assert statistics.mean(second) == pytest.approx(4.0, abs=0.06)
    assert statistics.stdev(first) == pytest.approx(0.5, abs=0.05)
    assert all(0 <= score <= 10 for verdict in verdicts for score in verdict.scores)


def test_a_utility_off_the_scale_is_an_error() -> None:
    with pytest.raises(JudgeError, match=r"gives 11\.0 to x; scale it"):
        compare(ProgrammaticJudge("worth", worth), answer("x", "11"), WEAK)


def test_a_familys_utility_is_opened_by_name() -> None:
    trip = family("trip")
    [example] = trip.examples(1)

    async def judge_the_example() -> tuple[str, Verdict]:
        async with open_judge(ProgrammaticJudgeConfig(family="trip")) as judge:
            verdict = await judge.compare(example.task, answer("plan", example.answer), answer("no", "-"))
        assert isinstance(verdict, Verdict)
        return judge.name, verdict

    name, verdict = asyncio.run(judge_the_example())
    assert name == "programmatic/trip"
    assert verdict.scores == pytest.approx((10 * trip.utility(example.task, example.answer), 0.0))

    async def open_unknown() -> None:
        async with open_judge(ProgrammaticJudgeConfig(family="tripp")):
            pass

    with pytest.raises(ConfigError, match="unknown task family 'tripp'"):
        asyncio.run(open_unknown())
