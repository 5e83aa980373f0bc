"""Masks of weights: their sizes, their algebra, and what they look at."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.update_mask import Part, UpdateMaskConfig, low_magnitude, mask, masks, principal
from palaestra.training.updater import Updater


def matrix(seed: int = 1) -> torch.Tensor:
    return torch.randn(20, 30, generator=torch.Generator().manual_seed(seed))


def of(*parts: Part, share: float = 0.5, shuffled: bool = False) -> UpdateMaskConfig:
    return UpdateMaskConfig(parts=parts, rank=4, share=share, shuffled=shuffled)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 0.95), st.integers(0, 50))
def test_sizes_and_complements(share: float, seed: int) -> None:
    weight = matrix(seed)
    low = mask(weight, of("low-magnitude", share=share))
    lead = mask(weight, of("principal", share=share))
    assert int(low.sum()) == int(lead.sum()) == int(share * weight.numel() + 0.5)
    assert torch.equal(mask(weight, of("not-principal", share=share)), ~lead)
    assert torch.equal(mask(weight, of("low-magnitude", "not-principal", share=share)), low | ~lead)
    assert bool(mask(weight, of("principal", "not-principal", share=share)).all())
    random = mask(weight, of("low-magnitude", share=share, shuffled=True), seed)
    assert int(random.sum()) == int(low.sum())


def test_low_magnitude_is_below_the_rest() -> None:
    weight = matrix()
    found = low_magnitude(weight, 0.3)
    assert weight.abs()[found].max() <= weight.abs()[~found].min()


def test_principal_weights_are_those_of_the_best_approximation() -> None:
    """A matrix of rank one with noise: the mask is that of the rank-one part, and rank counts."""
    left, right = torch.linspace(1, 3, 20), torch.linspace(-2, 2, 30)
    lead = left[:, None] * right[None]
    found = principal(lead + 1e-3 * matrix(), rank=1, share=0.5)
    expected = torch.zeros(600, dtype=torch.bool)
    expected[lead.abs().flatten().argsort(descending=True)[:300]] = True
    assert (found.flatten() == expected).float().mean() > 0.99
    assert torch.equal(principal(matrix(), 20, 0.4), ~low_magnitude(matrix(), 0.6))


def test_what_is_looked_at_is_stored_in_bfloat16() -> None:
    weight = torch.tensor([[1.0, 1.0 + 2**-10, 2.0, 3.0]])
    assert (
        low_magnitude(weight.bfloat16(), 0.25).tolist()
        == mask(weight, of("low-magnitude", share=0.25)).tolist()
    )
    assert mask(weight.flip(1), of("low-magnitude", share=0.25)).tolist() == [[False, False, True, False]]


def test_an_update_moves_linear_weights_where_it_may(policy: TinyModel, rollouts: list[Sample]) -> None:
    allowed = masks(policy.module, UpdateMaskConfig(parts=("not-principal",), rank=4), seed=0)
    before = {name: value.clone() for name, value in policy.module.state_dict().items()}
    settings = OptimizerConfig(learning_rate=1e-3)
    Updater(policy.module, ArenaRL(ArenaRLConfig()), settings, steps=1, masks=allowed).update(rollouts)
    after = policy.module.state_dict()
    assert len(allowed) == 2 * 7  # the linear layers of two blocks
    for name, where in allowed.items():
        changed = after[name] != before[name]
        assert not bool((changed & ~where).any())
        assert changed[where].float().mean() > 0.9
    assert bool((after["model.norm.weight"] != before["model.norm.weight"]).any())


def test_a_mask_needs_a_part() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        UpdateMaskConfig(parts=())
