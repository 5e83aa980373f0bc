"""Calibration: what is asked about labelled pairs, and what the numbers of the report mean."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterable
from itertools import combinations
from pathlib import Path

import pytest

from palaestra.arena.calibration import (
    CalibrationConfig,
    calibrate,
    calibrate_judge,
    calibration_of,
    labelled_pairs,
)
from palaestra.arena.calibration_report import CalibrationReport
from palaestra.core.budget import Budget, Meter
from palaestra.core.errors import BudgetExceeded, DataError, ModelUnreachable
from palaestra.core.events import JudgementGiven
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote
from palaestra.store.run_store import RunStore

CALL = Usage(calls=1, tokens_in=10, cost=0.5)
Points = Callable[[str, str, int], tuple[float, float]]


class Scores:
    """A judge by a function of both answers and the attempt."""

    def __init__(self, points: Points) -> None:
        self.name = "scores"
        self.asked: list[tuple[str, str, int]] = []
        self._points = points

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        self.asked.append((first.id, second.id, attempt))
        await asyncio.sleep(0)
        return Verdict.from_scores(*self._points(first.answer, second.answer, attempt), usage=CALL)


def by_worth(bias: float = 0.0, length: float = 0.0) -> Scores:
    """Scores are the number in the answer, more for the first place and for each character."""

    def worth(answer: str) -> float:
        return float(answer.split()[0]) + length * len(answer)

    return Scores(lambda first, second, attempt: (worth(first) + bias, worth(second)))


def group(name: str, answers: Iterable[str], **labels: str) -> JudgedGroup:
    """Answers called a, b, c, … and labels such as ab="a"."""
    candidates = dict(zip("abcdefgh", answers, strict=False))
    votes = tuple(
        RecordedVote.model_validate(
            {"a": pair[0], "b": pair[1], "judge": "human", "source": "human"}
            | {"winner": "tie" if winner == "tie" else "a" if winner == pair[0] else "b"}
        )
        for pair, winner in labels.items()
    )
    return JudgedGroup(group=name, prompt="?", candidates=candidates, votes=votes)


def report(
    judge: Scores, groups: Iterable[JudgedGroup], repeats: int = 1, **settings: object
) -> CalibrationReport:
    return asyncio.run(
        calibrate(
            judge,
            list(labelled_pairs(groups)),
            **{  # type: ignore[arg-type]
                "repeats": repeats,
                "concurrency": 4,
                "meter": Meter(Budget()),
                "emit": lambda event: None,
            }
            | settings,
        )
    )


def test_labels_are_the_majority_and_the_truth_of_the_data_set_comes_first() -> None:
    def vote(winner: str, judge: str, source: str, a: str = "x", b: str = "y") -> RecordedVote:
        return RecordedVote.model_validate(
            {"a": a, "b": b, "winner": winner, "judge": judge, "source": source}
        )

    votes = (
        vote("a", "h1", "human"),
        vote("a", "h2", "human", "y", "x"),
        vote("b", "h3", "human"),
        vote("a", "m", "model"),
    )
    judged = JudgedGroup(group="g", prompt="?", candidates={"x": "1", "y": "2"}, votes=votes)
    [pair] = labelled_pairs([judged])
    assert (pair.first.agent, pair.second.agent, pair.label) == ("x", "y", "second")
    assert [pair.label for pair in labelled_pairs([judged], labeller="m")] == ["first"]
    even = judged.model_copy(update={"votes": votes[:2]})
    assert [pair.label for pair in labelled_pairs([even])] == ["tie"]
    true = judged.model_copy(update={"votes": (*votes, vote("tie", "label", "label"))})
    assert [pair.label for pair in labelled_pairs([true])] == ["tie"]
    assert not list(labelled_pairs([judged.model_copy(update={"votes": votes[3:]})]))


def test_a_perfect_judge() -> None:
    told = report(
        by_worth(),
        [group("1", ["5", "3", "3"], ab="a", ac="a", bc="tie"), group("2", ["1", "2"], ab="b")],
    )
    assert (told.pairs, told.missing, told.accuracy, told.kappa) == (4, 0, 1, 1)
    assert told.interval is not None
    assert told.interval[0] < 1
    assert (told.accuracy_better_first, told.accuracy_better_second) == (1, 1)
    assert (told.first_wins, told.flips, told.ties) == (0.5, 0, 0.25)
    assert told.usage == Usage(calls=8, tokens_in=80, cost=4.0)
    assert told.self_consistency is None
    assert told.judge == "scores"


def test_position_bias_shows_in_both_orders_and_in_flips() -> None:
    pairs = [
        group("near", ["5", "4"], ab="a"),
        group("far", ["9", "1"], ab="a"),
        group("b", ["2", "8"], ab="b"),
    ]
    told = report(by_worth(bias=2), pairs)
    assert (told.accuracy, told.kappa) == (1, 1)
    assert told.accuracy_better_first == 1
    assert told.accuracy_better_second == pytest.approx(2 / 3)
    assert told.flips == pytest.approx(1 / 3)
    assert told.first_wins == pytest.approx(4 / 6)


def test_kappa_is_that_of_the_table_with_both_orientations() -> None:
    right = [group(f"r{n}", ["5", "4"], ab="a") for n in range(6)]
    wrong = [group(f"w{n}", ["5", "4"], ab="b") for n in range(2)]
    ties = [group("t0", ["5", "5"], ab="tie"), group("t1", ["5", "4"], ab="tie")]
    told = report(by_worth(), [*right, *wrong, *ties])
    agreed, by_chance = 0.7, 0.1 * 0.2 + 0.9 * 0.8 / 2
    assert told.accuracy == pytest.approx(agreed)
    assert told.kappa == pytest.approx((agreed - by_chance) / (1 - by_chance))
    turned = report(by_worth(), [group("x", ["4", "5"], ab="b"), group("y", ["4", "5"], ab="a")])
    assert turned.kappa == pytest.approx(0)


def test_length_bias_is_told_beside_that_of_the_labels() -> None:
    draw = random.Random(0)
    groups = [
        group(
            f"{n}", [f"5 {'x' * draw.randint(1, 90)}", f"5 {'x' * draw.randint(1, 90)}"], ab=draw.choice("ab")
        )
        for n in range(200)
    ]
    fond, fair = report(by_worth(length=0.01), groups), report(by_worth(), groups)
    assert fond.longer_wins == 1
    assert fond.labels_longer_wins == pytest.approx(0.5, abs=0.1)
    assert fond.length_correlation is not None
    assert fond.length_correlation > 0.8
    assert (fair.longer_wins, fair.length_correlation, fair.ties) == (None, None, 1)
    against = report(by_worth(length=-0.01), groups)
    assert against.longer_wins == 0
    assert against.length_correlation == pytest.approx(-fond.length_correlation)


def test_self_consistency_compares_every_two_answers_to_one_question() -> None:
    judge = Scores(lambda first, second, attempt: (2, 1) if attempt < 2 else (1, 2))
    told = report(judge, [group("1", ["5", "4"], ab="a")], repeats=3)
    assert sorted(attempt for *_, attempt in judge.asked) == [0, 0, 1, 1, 2, 2]
    assert told.self_consistency == pytest.approx(1 / 3)


def test_circles_are_counted_over_triples_that_are_decided() -> None:
    beats = {("1", "2"), ("2", "3"), ("3", "1"), ("1", "4"), ("2", "4"), ("3", "4")}
    judge = Scores(lambda first, second, attempt: (2, 1) if (first, second) in beats else (1, 2))
    everything = {"".join(pair): pair[0] for pair in combinations("abcd", 2)}
    told = report(judge, [group("1", ["1", "2", "3", "4"], **everything)])
    assert (told.triples, told.cyclic_triples) == (4, 0.25)
    assert report(by_worth(), [group("1", ["1", "2"], ab="a")]).cyclic_triples is None


def test_a_pair_without_both_verdicts_is_missing_and_counts_nowhere() -> None:
    class Half(Scores):
        async def compare(
            self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
        ) -> Verdict | NoVerdict:
            if first.answer == "7":
                return NoVerdict(reason="garbage", usage=CALL)
            return await super().compare(task, first, second, attempt)

    groups = [group("1", ["7", "6"], ab="a"), group("2", ["5", "6"], ab="a")]
    told = report(Half(lambda first, second, attempt: (float(first), float(second))), groups)
    assert (told.pairs, told.missing, told.accuracy) == (1, 1, 0)
    assert told.usage.calls == 4


def test_known_answers_are_not_asked_again_and_limits_keep_what_was_answered() -> None:
    groups = [group(f"{n}", ["5", "4"], ab="a") for n in range(10)]
    events: list[JudgementGiven] = []
    judge = by_worth()
    with pytest.raises(BudgetExceeded):
        report(judge, groups, emit=events.append, meter=Meter(Budget(calls=7)))
    assert len(events) == len(judge.asked) == 7
    again = by_worth()
    told = report(again, groups, known=events, emit=events.append)
    assert (told.pairs, told.usage.calls, len(again.asked), len(events)) == (10, 20, 13, 20)

    def fail(first: str, second: str, attempt: int) -> tuple[float, float]:
        raise ModelUnreachable("m: no answer")

    with pytest.raises(ModelUnreachable):
        report(Scores(fail), groups)


def test_a_run_stores_what_it_asked_and_reports_from_the_store(tmp_path: Path) -> None:
    rows = [
        {"prompt": f"Plan walk {n} with a garden.", "answer_a": "In the garden at 10, then Gulbenkian.",
         "answer_b": "No.", "winner": "a" if n else "b"}
        for n in range(4)
    ]  # fmt: skip
    file = tmp_path / "labelled.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    config = CalibrationConfig.model_validate(
        {"labelled": str(file), "judge": "scripted/judge", "repeats": 2}
    )
    store = RunStore.create(tmp_path / "runs", "calibrate", config)
    assert asyncio.run(calibrate_judge(config, store, store.write)).status == "done"
    told = calibration_of(store)
    assert (told.pairs, told.accuracy, told.flips, told.self_consistency) == (4, 0.75, 0, 1)
    assert told.usage.calls == 16
    asyncio.run(calibrate_judge(config, store, store.write))
    assert calibration_of(store) == told
    store.close()
    empty = config.model_copy(update={"labeller": "nobody"})
    store = RunStore.create(tmp_path / "runs", "calibrate", empty)
    with pytest.raises(DataError, match="no labelled pair"):
        asyncio.run(calibrate_judge(empty, store, store.write))
    store.close()
