"""The contrast of two distributions."""

import torch

from palaestra.models.contrast import contrast


def test_worked_values() -> None:
    expert = torch.tensor([0.5, 0.3, 0.15, 0.04, 0.01]).log()
    amateur = torch.tensor([0.6, 0.1, 0.2, 0.05, 0.05]).log()
    expected = torch.tensor([-0.182, 1.099, -0.288, -torch.inf, -torch.inf])
    torch.testing.assert_close(contrast(expert, amateur, 0.1), expected, atol=5e-4, rtol=0)


def test_an_expert_against_itself_scores_nothing_and_the_likeliest_token_is_always_plausible() -> None:
    log_prob = (torch.randn(50, 30, generator=torch.Generator().manual_seed(0)) * 3).log_softmax(dim=-1)
    score = contrast(log_prob, log_prob, 0.1)
    plausible = score > -torch.inf
    assert (score[plausible] == 0).all()
    assert plausible.gather(1, log_prob.argmax(-1, keepdim=True)).all()
    assert (contrast(log_prob, log_prob.flip(0), 1.0) > -torch.inf).sum() == 50


def test_a_padded_vocabulary_of_the_other_size_is_no_difference() -> None:
    """Even where the expert thinks most of what the amateur does not know."""
    expert, amateur = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1)).log_softmax(dim=-1)
    whole = contrast(expert, amateur, 0.01)
    padding, nothing = torch.zeros(1, 3), torch.full((1, 3), -torch.inf)
    torch.testing.assert_close(contrast(expert, torch.cat([amateur, padding], -1), 0.01), whole)
    longer = contrast(torch.cat([expert, padding], -1), amateur, 0.01)
    torch.testing.assert_close(longer, torch.cat([whole, nothing], -1))
