"""The comparison of topologies: judges as right as they are said to be, scores that mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.noisy_judges import BIAS, JudgeKind, World, draw_world
from benchmarks.recorded_verdicts import RecordedVerdict, read_groups
from benchmarks.topologies import BASE, RERANKED, compare_recorded, compare_simulated, methods, score_methods
from palaestra.core.verdict import NoVerdict, Verdict

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "data" / "trip-verdicts.jsonl"


@pytest.mark.parametrize("kind", ["scores", "verdicts"])
@pytest.mark.parametrize("accuracy", [0.6, 0.8])
def test_judges_are_as_right_as_they_are_said_to_be(kind: JudgeKind, accuracy: float) -> None:
    """Without the preference for the first, which both orders together take out of the margin's mean."""
    worlds = [draw_world(kind, accuracy, 60, seed) for seed in range(10)]
    right = []
    for world in worlds:
        margin_ANN = world.first_ANN - world.second_ANN
        better_NN = np.sign(world.worth_N[:, None] - world.worth_N)
        pairs = np.triu_indices(60, k=1)
        for order_ANN in (margin_ANN, -margin_ANN.transpose(0, 2, 1)):
            right.append((np.sign(order_ANN)[:, pairs[0], pairs[1]] == better_NN[pairs]).mean())
    assert np.mean(right) == pytest.approx(accuracy, abs=0.025)
    assert np.mean([world.first_ANN - world.second_ANN for world in worlds]) > BIAS / 2


def test_errors_of_a_pair_come_again_and_those_of_calls_do_not() -> None:
    world = draw_world("scores", 0.7, 40, seed=1)
    margin_ANN = world.first_ANN - world.second_ANN - (world.worth_N[:, None] - world.worth_N) - BIAS
    pairs = np.triu_indices(40, k=1)
    once, again = margin_ANN[0][pairs], -margin_ANN[1].T[pairs]
    assert np.corrcoef(once, again)[0, 1] == pytest.approx(0.3, abs=0.1)


def test_an_exact_judge_is_followed_exactly() -> None:
    worth_N = np.array([3.0, 1.0, 4.0, 1.5, 5.0, 9.0])

    def exact(first: int, second: int, attempt: int) -> Verdict:
        return Verdict.from_scores(float(worth_N[first]), float(worth_N[second]))

    scores = dict(score_methods(exact, worth_N, seed=0))
    assert {name for name, score in scores.items() if score.tau < 1} <= {
        BASE,
        "double-elimination",
        "double-elimination, by lot",
        "swiss",
        "adaptive, half the calls",
    }
    assert all(score.top == 1 for score in scores.values())


def test_a_judge_that_always_fails_leaves_everyone_equal() -> None:
    worth_N = np.array([1.0, 2.0, 3.0, 4.0])
    scores = dict(score_methods(lambda *_: NoVerdict(reason="failed"), worth_N, seed=0))
    assert {(score.tau, score.top) for score in scores.values()} == {(0.0, 0.25)}


def test_the_comparison_in_small() -> None:
    measured = compare_simulated({4: 8, 8: 8})
    assert len(measured["cells"]) == 2 * 2 * 4
    for cell in measured["cells"]:
        assert set(methods(4)) <= set(cell["methods"])
        assert cell["methods"][BASE]["tau_gain"] == 0
        assert cell["methods"]["round-robin" + RERANKED]["calls"] == cell["methods"]["round-robin"]["calls"]
    sure = [cell["methods"]["round-robin"]["tau"] for cell in measured["cells"] if cell["accuracy"] == 0.9]
    unsure = [cell["methods"]["round-robin"]["tau"] for cell in measured["cells"] if cell["accuracy"] == 0.6]
    assert min(sure) > max(unsure)
    goals = {goal["goal"] for goal in measured["goals"]}
    assert "oneshot, half the calls: gain in tau over single elimination" in goals


def test_recorded_verdicts_are_asked_again(tmp_path: Path) -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    part = tmp_path / "part.jsonl"
    part.write_text("\n".join(lines[:112]), encoding="utf-8")
    rows = compare_recorded(part)
    assert rows["round-robin" + RERANKED]["tau"] == rows["round-robin" + RERANKED]["top"] == 1
    assert rows["oneshot"]["calls"] == 28
    part.write_text("\n".join(lines[:55]), encoding="utf-8")
    with pytest.raises(SystemExit, match="every pair in both orders"):
        compare_recorded(part)


def test_winners_without_scores_and_answers_without_verdicts_can_be_recorded(tmp_path: Path) -> None:
    file = tmp_path / "votes.jsonl"
    votes = [("a", "b", "first"), ("b", "a", None)]
    rows = [
        RecordedVerdict(group="g", first=a, second=b, score_first=None, score_second=None, winner=winner)
        for a, b, winner in votes
    ]
    file.write_text("".join(f"{row.model_dump_json()}\n" for row in rows), encoding="utf-8")
    [group] = read_groups(file)
    assert group.judge(0, 1, 0) == Verdict(winner="first", scores=(10, 0))
    assert isinstance(group.judge(1, 0, 0), NoVerdict)


def test_worlds_are_the_same_for_everyone() -> None:
    once, again = (draw_world("verdicts", 0.7, 8, seed=4) for _ in range(2))
    assert isinstance(once, World)
    assert np.array_equal(once.first_ANN, again.first_ANN)
    assert once.judge(0, 1, 0) == again.judge(0, 1, 0)
