"""What a self-teacher is told in the place of the prompt."""

import asyncio
from pathlib import Path

from palaestra.core.config import validate
from palaestra.core.events import UpdateDone
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.arithmetic.countdown import SMALL
from palaestra.models.tiny import TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.feedback import Feedback, by_family
from palaestra.training.pipeline import train

TASK = Task(
    id="t",
    family="countdown",
    prompt="Make 7 of these numbers, each used at most once: 1,2,3.",
    metadata={"numbers": [1, 2, 3], "target": 7},
)


def told(policy: TinyModel, answers: list[str], most_tokens: int = 10_240) -> list[str | None]:
    group = [
        Trajectory(id=str(n), task_id="t", agent="a", status="finished", answer=answer)
        for n, answer in enumerate(answers)
    ]
    rewards = [SMALL.utility(TASK, answer) for answer in answers]
    prompts = Feedback(policy, False, 0.5, by_family, most_tokens).prompts(TASK, group, rewards)
    return [None if ids is None else str(policy.tokenizer.decode(list(ids))) for ids in prompts]


def test_a_remark_on_each_failure_where_nobody_succeeded(policy: TinyModel) -> None:
    first, second = told(policy, ["1+2+3", "seven"])
    assert first is not None
    assert "That is 6 of the numbers 1,2,3; 7 is wanted" in first
    assert second is not None
    assert "no formula" in second


def test_the_solution_of_a_sibling_in_place_of_a_remark(policy: TinyModel) -> None:
    failed, solved = told(policy, ["1+2+3", "1+2*3"])
    assert failed is not None
    assert "A correct solution" in failed
    assert "1+2*3" in failed
    assert "That is 6" not in failed
    assert solved is None, "a success has nothing to learn from a failure, and not its own solution to copy"


def test_what_takes_too_many_tokens_is_not_shown(policy: TinyModel) -> None:
    long, short = "1+2+3" + " of these" * 40, "1+2+3"
    first, second = (told(policy, ["1+2*3", failed])[1] for failed in (long, short))
    assert first == second, "a solution is shown in place of the attempt"
    shown = first or ""
    tokens = len(policy.tokenizer.encode(shown, add_special_tokens=False))
    assert told(policy, ["1+2*3", short], tokens)[1] == shown
    assert told(policy, ["1+2*3", short], tokens - 1)[1] is None


def test_a_run_learns_from_remarks_alone(tmp_path: Path) -> None:
    """An untrained policy makes no formula, let alone the right one."""
    settings = {
        "policy": {"name": "tiny/new", "device": "cpu"},
        "family": "countdown",
        "tiny": {"hidden": 32, "layers": 1, "heads": 2, "feed_forward": 64, "window": 400},
        "warm_start": {"examples": 40},
        "rollout": {"tasks_per_step": 2, "group_size": 2, "max_tokens": 5},
        "reward": "utility",
        "objective": "sdpo",
        "steps": 1,
        "evaluation": {"tasks": 1},
    }
    store = RunStore.create(tmp_path, "train", config := validate(TrainConfig, settings, source="test"))
    assert asyncio.run(train(config, store, store.write)).status == "done"
    update = next(store.events(UpdateDone))
    assert update.metrics["utility"] == 0
    assert update.metrics["divergence"] > 0
    store.close()
