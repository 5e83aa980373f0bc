"""What evaluations compare, keep and end."""

from pathlib import Path

import pytest

from palaestra.core.events import (
    UpdateDone,
)
from palaestra.training.tensorboard import FOLDER
from tests.training.runs import BASE, Run


def test_an_evaluation_compares_with_baselines_and_keeps_the_best(run: Run, start: Path) -> None:
    baseline = {"name": f"hf/{start}", "device": "cpu"}
    evaluation = {"tasks": 6, "every": 1, "samples": 3, "baselines": [baseline], "patience": 2}
    store = run(
        reward="utility",
        evaluation=evaluation,
        steps=8,
        optimizer={"learning_rate": 1e-6},
        keep_checkpoints=1,
        tensorboard=True,
    )
    found = [update for update in store.events(UpdateDone) if update.phase == "evaluation"]
    rates = [update.metrics["win_rate"] for update in found]
    best = rates.index(max(rates))
    assert len(found) == min(best + 3, 8), "it went on, or stopped too early"
    last = found[-1].metrics
    assert 0 <= last[f"win_rate_low/hf/{start}"] <= last[f"win_rate/hf/{start}"] <= 1
    curve = [last[f"pass@{k}"] for k in (1, 2, 3)]
    assert curve == sorted(curve)
    assert {"start_pass@1", "start_pass@3"} <= last.keys()
    folder = store.folder / "checkpoints"
    assert (folder / "best").readlink().name == f"step-{best + 1:06d}"
    assert {each.name for each in folder.glob("step-*")} == {f"step-{best + 1:06d}", f"step-{len(found):06d}"}
    assert list((store.folder / FOLDER).iterdir())
    store.close()


def test_the_best_of_more_answers_is_worth_more(run: Run) -> None:
    """Whoever picks: the utility itself, or a tournament of a judge that goes by it."""
    curves = []
    for reward in ("utility", "tournament"):
        store = run(reward=reward, steps=0, evaluation={"tasks": 8, "samples": 4, "best_of": True})
        evaluation = store.last(UpdateDone)
        assert evaluation is not None
        curves.append([evaluation.metrics[f"best_of@{k}"] for k in (1, 2, 3, 4)])
        store.close()
    assert curves[0] == sorted(curves[0])
    assert curves[0][3] > curves[0][0] + 0.05
    assert curves[1][0] == pytest.approx(curves[0][0])
    assert curves[0][0] < curves[1][3] <= curves[0][3] + 1e-9


def test_a_policy_wins_half_against_itself(run: Run) -> None:
    """Nearly greedy, so that both give the same answers."""
    store = run(steps=0, rollout=BASE["rollout"] | {"temperature": 1e-4}, evaluation={"tasks": 6})
    evaluation = store.last(UpdateDone)
    assert evaluation is not None
    assert evaluation.metrics["win_rate"] == 0.5
    assert evaluation.metrics["utility"] == evaluation.metrics["start_utility"]
    store.close()
