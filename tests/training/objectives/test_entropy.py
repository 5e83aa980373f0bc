"""The entropy bonus, as a term of the loss and as the gradient that an update follows."""

import copy
from collections.abc import Callable

import pytest
import torch

from palaestra.core.errors import TrainingError
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.updater import Updater
from tests.training.answers import parameters, sample

BONUS = 0.5


def test_it_is_taken_off_the_loss_of_each_token(make: Callable[..., TokenBatch]) -> None:
    zeros = torch.zeros(2, 4, dtype=torch.float64)
    objective = ArenaRL(ArenaRLConfig(entropy_bonus=BONUS))
    batch = make(zeros, old_log_prob_NT=zeros, live_entropy_NT=torch.full_like(zeros, 1.2))
    assert objective(batch).loss_NT[0, 1].item() == pytest.approx(-BONUS * 1.2)
    assert "live_entropy_NT" in objective.needs
    assert "live_entropy_NT" not in ArenaRL(ArenaRLConfig()).needs
    with pytest.raises(TrainingError, match="live_entropy_NT"):
        objective(make(zeros, old_log_prob_NT=zeros))


@pytest.mark.parametrize("logits_at_once", [1 << 27, 60])
def test_an_update_without_advantages_follows_the_gradient_of_the_entropy(
    policy: TinyModel, logits_at_once: int
) -> None:
    """Whether logits are kept for the backward pass or computed again in it."""
    rollouts = [sample(policy, "plan a day", "09:00 Grove Museum", 0.5), sample(policy, "plan", "Grove", 0.5)]
    plain = copy.deepcopy(policy.module)
    entropies = []
    for each in rollouts:
        logits = plain(input_ids=torch.tensor([each.trace.ids])).logits[0, :-1]
        drawn = torch.tensor(each.trace.mask[1:])
        entropies.append(torch.distributions.Categorical(logits=logits[drawn]).entropy())
    (-BONUS * torch.cat(entropies).mean()).backward()
    rate = 0.1
    expected = torch.cat([(each.detach() - rate * each.grad).flatten() for each in plain.parameters()])

    settings = OptimizerConfig(
        name="sgd",
        learning_rate=rate,
        weight_decay=0.0,
        max_gradient_norm=1e9,
        logits_at_once=logits_at_once,
    )
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig(entropy_bonus=BONUS)), settings, steps=1)
    updater.update(rollouts)
    torch.testing.assert_close(parameters(policy.module), expected, atol=1e-6, rtol=1e-4)
