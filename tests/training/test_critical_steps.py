"""Where expert and amateur differ, and what is learnt there, beside the definitions on distributions."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from palaestra.core.errors import NothingToLearn
from palaestra.models.tiny import TinyModel
from palaestra.training.critical_steps import CriticalSteps
from palaestra.training.distributions import ContrastiveLabels
from palaestra.training.objectives.light_reasoner import LightReasonerConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.scoring import Scorer
from palaestra.training.updater import Updater
from tests.training.conftest import moved

PLAUSIBLE = 0.2


def next_tokens(module: PreTrainedModel, sample: Sample) -> Tensor:
    """The distributions that the generated tokens were drawn from, of the sample by itself."""
    with torch.no_grad():
        logits_TV = module(input_ids=torch.tensor([sample.trace.ids])).logits[0, :-1]
    probabilities: Tensor = logits_TV[torch.tensor(sample.trace.mask[1:])].double().softmax(dim=-1)
    return probabilities


def divergences(expert: PreTrainedModel, amateur: PreTrainedModel, sample: Sample) -> list[float]:
    expert_TV, amateur_TV = next_tokens(expert, sample), next_tokens(amateur, sample)
    found: list[float] = (expert_TV * (expert_TV / amateur_TV).log()).sum(dim=-1).tolist()
    return found


def critical(contrast: ContrastiveLabels, module: PreTrainedModel, least: float) -> CriticalSteps:
    return CriticalSteps(contrast, Scorer(module, 1.0, 100, 1 << 20), least)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_token_is_kept_where_the_two_differ_by_more(
    policy: TinyModel, rollouts: list[Sample], share: float
) -> None:
    """In a batch of many lengths, as for each sample alone: no pad position is read."""
    amateur = moved(policy.module)
    each = [divergences(policy.module, amateur, sample) for sample in rollouts]
    flat = sorted(value for values in each for value in values)
    least = flat[int(share * len(flat))] + 1e-6
    kept = critical(ContrastiveLabels.of(policy.module, amateur, PLAUSIBLE), policy.module, least)(rollouts)
    expected = [[value > least for value in values] for values in each]
    left = [sample for sample, values in zip(rollouts, expected, strict=True) if any(values)]
    assert [sample.trace.ids for sample in kept] == [sample.trace.ids for sample in left]
    for sample, original in zip(kept, left, strict=True):
        generated = [keep for keep, was in zip(sample.trace.mask, original.trace.mask, strict=True) if was]
        assert generated == expected[rollouts.index(original)]
        assert not any(
            keep for keep, was in zip(sample.trace.mask, original.trace.mask, strict=True) if not was
        )


def test_the_loss_is_the_divergence_from_the_labels_of_these_tokens(
    policy: TinyModel, rollouts: list[Sample], updater_of: Callable[..., Updater]
) -> None:
    """Soft labels over all that the expert finds plausible, by the definition."""
    expert, amateur = policy.module, moved(policy.module)
    least = 0.002
    losses = []
    for sample in rollouts:
        expert_TV, amateur_TV = next_tokens(expert, sample), next_tokens(amateur, sample)
        plausible_TV = expert_TV >= PLAUSIBLE * expert_TV.amax(dim=-1, keepdim=True)
        label_TV = (expert_TV / amateur_TV).where(plausible_TV, 0)
        label_TV = label_TV / label_TV.sum(dim=-1, keepdim=True)
        loss_T = (label_TV * (label_TV.clamp(min=1e-30) / expert_TV).log()).sum(dim=-1)
        kept = torch.tensor(divergences(expert, amateur, sample)) > least
        losses += loss_T[kept].tolist()
    updater = updater_of(LightReasonerConfig(), OptimizerConfig(learning_rate=1e-3), "contrast")
    kept_samples = critical(ContrastiveLabels.of(expert, amateur, PLAUSIBLE), expert, least)(rollouts)
    assert 0 < len(losses) == sum(sample.generated for sample in kept_samples)
    assert updater.update(kept_samples)["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_an_amateur_that_knows_as_much_leaves_nothing_to_learn(
    policy: TinyModel, rollouts: list[Sample], updater_of: Callable[..., Updater]
) -> None:
    twin = ContrastiveLabels.of(policy.module, copy.deepcopy(policy.module), PLAUSIBLE)
    kept = critical(twin, policy.module, 1e-4)(rollouts)
    assert kept == []
    assert critical(twin, policy.module, 1e-4)([]) == []
    with pytest.raises(NothingToLearn, match="no sample"):
        updater_of(LightReasonerConfig(), kind="contrast").update(kept)
