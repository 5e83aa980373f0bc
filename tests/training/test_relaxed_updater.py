"""Learning from a differentiable reward."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from palaestra.core.errors import NothingToLearn, TrainingError
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.grade import GRADE, GRADEConfig
from palaestra.training.objectives.grade_ste import GRADESTE, GRADESTEConfig
from palaestra.training.objectives.relaxation import Relaxation
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.relaxed_rollouts import RelaxedRollouts
from palaestra.training.relaxed_updater import RelaxedUpdater

PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13], [14, 15]]
SETTINGS = OptimizerConfig(learning_rate=3e-3, weight_decay=0.0, betas=(0.9, 0.95))
LIKED = range(20, 40)
Build = Callable[..., RelaxedUpdater]


def share_of_liked(rollouts: RelaxedRollouts) -> torch.Tensor:
    """How many of a row's tokens are liked."""
    liked = torch.zeros(300, 1)
    liked[list(LIKED)] = 1
    return rollouts.tokens.mixed(liked).squeeze(-1).sum(dim=-1) / rollouts.mask_NT.sum(dim=-1)


@pytest.fixture
def build(policy: TinyModel) -> Build:
    """An updater of a twin of the policy, which is the reference."""

    def make(objective: Relaxation, settings: OptimizerConfig = SETTINGS, **others: Any) -> RelaxedUpdater:
        twin = copy.deepcopy(policy.module)
        given = {"reward": share_of_liked, "max_tokens": 4, "reference": policy.module} | others
        return RelaxedUpdater(twin, objective, settings, steps=40, **given)

    return make


@pytest.mark.parametrize("objective", [GRADE(GRADEConfig(kl=0)), GRADESTE(GRADESTEConfig(kl=0))])
def test_the_reward_rises(build: Build, objective: Relaxation) -> None:
    updater = build(objective, reference=None)
    rewards = [updater.update(PROMPTS * 4)["reward"] for _ in range(30)]
    assert rewards[0] < 0.2
    assert rewards[-1] > 0.5


def test_the_kl_holds_the_policy_near_the_reference(build: Build) -> None:
    last = {}
    for weight in (0.01, 1.0):
        updater = build(GRADESTE(GRADESTEConfig(kl=weight)))
        metrics = [updater.update(PROMPTS * 2) for _ in range(20)]
        assert metrics[0]["kl_to_reference"] == pytest.approx(0, abs=1e-6)
        assert metrics[-1]["loss"] == pytest.approx(
            -metrics[-1]["reward"] + weight * metrics[-1]["kl_to_reference"], abs=1e-5
        )
        last[weight] = metrics[-1]["kl_to_reference"]
    assert last[1.0] < 0.2 * last[0.01]


def test_the_step_does_not_depend_on_how_it_is_split(build: Build) -> None:
    whole = build(GRADE(GRADEConfig()))
    parts = build(GRADE(GRADEConfig()), SETTINGS.model_copy(update={"tokens_per_pass": 10}))
    for _ in range(2):
        assert parts.update(PROMPTS) == pytest.approx(whole.update(PROMPTS), rel=1e-4, abs=1e-6)


def test_the_temperature_is_annealed_and_a_resumed_run_goes_on_with_the_same_bits(build: Build) -> None:
    objective = GRADESTE(GRADESTEConfig(annealing_steps=2))
    first, second = build(objective), build(objective)
    assert [first.update(PROMPTS)["temperature"] for _ in range(2)] == [2.0, 1.25]
    second.module.load_state_dict(first.module.state_dict())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    following = first.update(PROMPTS)
    assert following["temperature"] == 0.5
    assert second.update(PROMPTS) == following


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (lambda rollouts: rollouts.tokens.ids.float().mean(dim=-1), "has no gradient"),
        (lambda rollouts: rollouts.tokens.weight_K.sum(), r"shape \(\); give one number"),
        (lambda rollouts: rollouts.tokens.weight_K.sum(dim=(1, 2)) / 0, "not finite"),
    ],
)
def test_a_reward_that_cannot_be_learnt_from_is_told(build: Build, reward: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        build(GRADESTE(GRADESTEConfig()), reward=reward).update(PROMPTS)


def test_what_is_missing_is_told(build: Build) -> None:
    with pytest.raises(TrainingError, match="needs a reference model"):
        build(GRADE(GRADEConfig(kl=0.1)), reference=None)
    with pytest.raises(NothingToLearn):
        build(GRADE(GRADEConfig())).update([])
