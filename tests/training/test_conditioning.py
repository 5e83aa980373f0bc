"""Answers told apart by how good they are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.events import TrajectoryFinished
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyModel
from palaestra.training.conditioning import Conditioning, ConditioningConfig, conditioned, quantiles
from palaestra.training.samples import Sample
from tests.training.runs import BASE, Run, updates


@pytest.mark.parametrize(
    ("rewards", "count", "expected"),
    [
        ([0.2, 0.9], 2, [0, 1]),  # a labelled pair
        ([0.4, 0.1, 0.3, 0.2], 4, [3, 0, 2, 1]),
        ([0.0, 0.0, 0.0, 1.0], 2, [0, 0, 0, 1]),
        ([0.0, 0.0, 1.0, 1.0, 1.0, 1.0], 3, [0, 0, 2, 2, 2, 2]),
    ],
)
def test_equal_shares(rewards: list[float], count: int, expected: list[int]) -> None:
    assert quantiles(rewards, count) == expected


@given(st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12), st.integers(2, 5))
def test_a_higher_reward_is_never_in_a_lower_share(rewards: list[float], count: int) -> None:
    found = quantiles(rewards, count)
    assert all(0 <= level < count for level in found)
    for one, level in zip(rewards, found, strict=True):
        for other, its_level in zip(rewards, found, strict=True):
            assert (one < other) <= (level <= its_level)
            assert (one == other) <= (level == its_level)


def test_an_answer_is_imitated_after_what_is_told_of_it(policy: TinyModel, rollouts: list[Sample]) -> None:
    task = Task(id="t", prompt="plan a day")
    group = [
        Trajectory(id=str(n), task_id="t", agent="a", status="finished", answer="", trace=sample.trace)
        for n, sample in enumerate(rollouts[:4])
    ]
    conditioning = Conditioning(policy, False, ConditioningConfig(levels=("bad ", "good ")))
    prompts = conditioning.prompts(task, group, [0.1, 0.9, 0.2, 0.8])
    told = [sample._replace(told_prompt=prompt) for sample, prompt in zip(rollouts[:4], prompts, strict=True)]
    found = conditioned(told)
    for sample, original, word in zip(found, rollouts, ("bad", "good", "bad", "good"), strict=False):
        text = policy.tokenizer.decode(list(sample.trace.ids))
        assert f"{word} plan a day" in text
        assert sample.generated == original.generated
        assert sample.trace.ids[-sample.generated :] == original.trace.ids[-sample.generated :]
        assert not sample.sampled
    uniform = conditioning.prompts(task, group, [0.5] * 4)
    assert (
        conditioned([each._replace(told_prompt=p) for each, p in zip(rollouts, uniform, strict=False)]) == []
    )


def test_a_policy_that_is_told_how_good_to_be_is_asked_for_the_best(run: Run, start: Path) -> None:
    conditioning = {"levels": ["poor: ", "good: "]}
    store = run(
        reward="utility",
        objective="sft",
        conditioning=conditioning,
        optimizer={"learning_rate": 2e-3, "weight_decay": 0.0},
        rollout=BASE["rollout"] | {"tasks_per_step": 8, "group_size": 8},
        steps=2,
    )
    tokenizer = HFModel.from_config(ModelConfig(name=f"hf/{start}", device="cpu")).tokenizer

    def asked(prefix: str) -> str:
        trajectories = (event.trajectory for event in store.events(TrajectoryFinished))
        trace = next(each.trace for each in trajectories if each.id.startswith(prefix))
        assert trace is not None
        return str(tokenizer.decode(list(trace.ids[: trace.mask.index(True)])))

    assert "good: Plan" not in asked("baseline") + asked("step-1/")
    assert "good: Plan" in asked("step-2/")
    assert "good: Plan" in asked("evaluation-2")
    assert len(updates(store)) == 2
    store.close()
