"""Whole next-token distributions of several models."""

from functools import partial

import pytest
import torch
from torch import Tensor

from palaestra.models.tiny import TinyModel
from palaestra.training.distributions import Mixture, candidates, kl_from, kl_to
from palaestra.training.samples import Sample, collate
from tests.training.conftest import moved

OWN = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], dtype=torch.float64).log()
OTHER = torch.tensor([[0.2, 0.2, 0.6], [0.1, 0.2, 0.7]], dtype=torch.float64).log()


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_a_trust_region_is_the_normalised_geometric_mixture_and_interpolates_logits(
    policy: TinyModel, rollouts: list[Sample], temperature: float
) -> None:
    models = policy.module, moved(policy.module)
    tokens = collate(rollouts, policy.module.device)
    region = Mixture(((models[0], 0.9), (models[1], 0.1)))
    found = region.log_probs(region.hidden(tokens, tokens.generated_NT), temperature)
    with torch.no_grad():
        first, second = (
            each(input_ids=tokens.ids_NT, attention_mask=tokens.attention_NT).logits[:, :-1][
                tokens.generated_NT[:, 1:]
            ]
            / temperature
            for each in models
        )
    torch.testing.assert_close(found, torch.lerp(first, second, 0.1).log_softmax(-1), atol=1e-4, rtol=1e-4)
    mixed = first.softmax(-1) ** 0.9 * second.softmax(-1) ** 0.1
    torch.testing.assert_close(found.exp(), mixed / mixed.sum(-1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_both_directions_of_the_divergence() -> None:
    def by_hand(p: Tensor, q: Tensor) -> list[float]:
        return [float((row.exp() * (row - other)).sum()) for row, other in zip(p, q, strict=True)]

    assert kl_to(OWN, OTHER)[0].tolist() == pytest.approx(by_hand(OWN, OTHER))
    assert kl_from(OWN, OTHER)[0].tolist() == pytest.approx(by_hand(OTHER, OWN))


def test_candidates_are_the_policys_and_none_that_the_other_does_not_know() -> None:
    own, other = (each.exp().tolist() for each in candidates(OWN, OTHER, count=2))
    assert own == [pytest.approx([0.5, 0.3]), pytest.approx([0.7, 0.2])]
    assert other == [pytest.approx([0.2, 0.2]), pytest.approx([0.7, 0.2])]
    shorter = partial(candidates, count=9)
    assert [each.exp().tolist()[1] for each in shorter(OWN, OTHER[:, :2])] == [
        pytest.approx([0.2, 0.1]),
        pytest.approx([0.2, 0.1]),
    ]
    assert [each.shape[-1] for each in shorter(OWN[:, :2], OTHER)] == [2, 2]
