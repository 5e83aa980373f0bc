from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from statistics import fmean

import pytest

from palaestra.arena.judges.annotators import AnnotatorPool, agreement_with_majority
from palaestra.arena.judging import JudgeConfig
from palaestra.arena.judging import judge as judge_systems
from palaestra.arena.leaderboard import rank_systems
from palaestra.core.events import JudgementGiven, TrajectoryFinished
from palaestra.core.verdict import Winner
from palaestra.store.run_store import RunStore
from tests.arena.judges.plans import (
    PLANS,
    TASK,
    Fixed,
    answer,
    ask,
)


def test_each_question_goes_to_one_annotator_and_a_quarter_is_turned_round() -> None:
    annotators = [Fixed(name, (8, 2)) for name in ("a", "b", "c")]
    pairs = [(answer("x", f"{n}"), answer("y", f"{n}'")) for n in range(1200)]
    verdicts = ask(AnnotatorPool(annotators, 0.25, seed=1), pairs)
    assert verdicts == ask(AnnotatorPool(annotators, 0.25, seed=1), pairs)
    assert verdicts != ask(AnnotatorPool(annotators, 0.25, seed=2), pairs)
    assert fmean(verdict.winner == "second" for verdict in verdicts) == pytest.approx(0.25, abs=0.04)
    assert {verdict.votes[0].scores for verdict in verdicts} == {(8, 2)}
    for annotator in annotators:
        share = fmean(verdict.votes[0].judge == annotator.name for verdict in verdicts)
        assert share == pytest.approx(1 / 3, abs=0.05)
    quiet = ask(AnnotatorPool(annotators, 0.0), pairs[:50])
    assert {verdict.winner for verdict in quiet} == {"first"}


def test_agreement_with_the_majority_leaves_the_own_vote_out() -> None:
    assert agreement_with_majority([("first",) * 4]) == 1
    assert agreement_with_majority([("first", "first", "second")]) == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert agreement_with_majority([("first", "second")]) == 0
    assert agreement_with_majority([("first",), ("tie", "tie")]) == 1
    assert agreement_with_majority([]) != agreement_with_majority([])
    draw = random.Random(0)
    sides: tuple[Winner, ...] = ("first", "second")
    coin = [[draw.choice(sides) for _ in range(5)] for _ in range(2000)]
    assert agreement_with_majority(coin) == pytest.approx(0.5, abs=0.02)


def test_a_pool_gives_the_win_rate_against_a_reference_model(tmp_path: Path) -> None:
    plans = {"reference": PLANS[3], "better": PLANS[6], "worse": PLANS[0]}
    for name, plan in plans.items():
        rows = [{"prompt": f"{TASK.prompt} Day {day}.", "answer": plan} for day in range(60)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = JudgeConfig.model_validate(
        {
            "systems": [str(tmp_path / f"{name}.jsonl") for name in plans],
            "judge": {
                "kind": "annotators",
                "annotators": ["scripted/judge", {"model": "scripted/judge", "rubric": "brief_answers"}],
            },
            "topology": "anchor",
            "tournament": {"orders": "one"},
        }
    )
    store = RunStore.create(tmp_path / "runs", "judge", config)
    asyncio.run(judge_systems(config, store, store.write))
    trajectories = [event.trajectory for event in store.events(TrajectoryFinished)]
    board = rank_systems(store.events(JudgementGiven), trajectories, "one")
    store.close()
    rates = {row.system: row.win_rate for row in board.systems}
    assert board.judged == 120
    assert rates["better"] == pytest.approx(0.75, abs=0.12)
    assert rates["worse"] == pytest.approx(0.25, abs=0.12)
