"""Relaxed generation: the same model as everywhere else, and a gradient through all that was generated."""

import copy
from collections.abc import Sequence

import pytest
import torch
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel

from palaestra.core.errors import TrainingError
from palaestra.models.log_probs import hidden_before, next_log_probs, token_statistics
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.divergence import kl
from palaestra.training.objectives.grade import GRADE, GRADEConfig
from palaestra.training.objectives.grade_ste import GRADESTE, GRADESTEConfig
from palaestra.training.objectives.relaxation import Relaxation
from palaestra.training.relaxed_rollouts import RelaxedRollouts, relaxed_rollouts

PROMPTS = [[5, 6, 7, 8, 9], [10], [11, 12, 13]]
SOFT = GRADE(GRADEConfig(candidates=300, first_temperature=1.0))
HARD = GRADESTE(GRADESTEConfig(candidates=300))
MAX_TOKENS = 4


def generated(
    module: PreTrainedModel,
    objective: Relaxation = HARD,
    prompts: Sequence[Sequence[int]] = PROMPTS,
    first: int = 0,
    ends: Sequence[int] = (),
    reference: PreTrainedModel | None = None,
) -> RelaxedRollouts:
    seeds = range(first, first + len(prompts))
    return relaxed_rollouts(module, prompts, seeds, objective, 0, MAX_TOKENS, ends, reference)


def neighbour(module: PreTrainedModel) -> PreTrainedModel:
    other = copy.deepcopy(module)
    with torch.no_grad():
        for weight in other.parameters():
            weight.mul_(1.1)
    return other


def test_hard_tokens_are_what_the_model_says_of_their_ids_without_a_cache(policy: TinyModel) -> None:
    """Log-probabilities, entropies and KL, with prompts of several lengths beside each other."""
    other = neighbour(policy.module)
    found = generated(policy.module, reference=other)
    assert found.reference_kl_NT is not None
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([[*prompt, *found.tokens.ids[row].tolist()]])
        select = torch.arange(ids.shape[1])[None] >= len(prompt)
        same = token_statistics(policy.module, ids, torch.ones_like(ids), select)
        torch.testing.assert_close(found.log_prob_NT[row], same.log_prob_M, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.entropy_NT[row], same.entropy_M, atol=1e-5, rtol=1e-5)
        own, others = (
            next_log_probs(module, hidden_before(module, ids, torch.ones_like(ids), select), 1.0)
            for module in (policy.module, other)
        )
        torch.testing.assert_close(found.reference_kl_NT[row], kl(own, others), atol=1e-5, rtol=1e-4)


def test_hard_tokens_are_drawn_from_the_policy(policy: TinyModel) -> None:
    draws = 3000
    found = generated(policy.module, prompts=[PROMPTS[0]] * draws)
    ids = torch.tensor([PROMPTS[0]])
    probability = next_log_probs(
        policy.module, policy.module.base_model(ids).last_hidden_state[:, -1], 1.0
    ).exp()
    share = found.tokens.ids[:, 0].bincount(minlength=probability.shape[1]) / draws
    error = (probability / draws).sqrt().max().item()
    assert (share - probability[0]).abs().max().item() < 5 * error


def test_a_row_does_not_depend_on_those_beside_it(policy: TinyModel) -> None:
    together = generated(policy.module, SOFT)
    for row, prompt in enumerate(PROMPTS):
        alone = generated(policy.module, SOFT, [prompt], first=row)
        assert torch.equal(alone.tokens.ids[0], together.tokens.ids[row])
        torch.testing.assert_close(
            alone.tokens.weight_K[0], together.tokens.weight_K[row], atol=1e-5, rtol=1e-4
        )


def test_a_row_is_over_after_its_end(policy: TinyModel) -> None:
    free = generated(policy.module)
    end = int(free.tokens.ids[1, 1])
    found = generated(policy.module, ends=(end,))
    assert found.mask_NT[1].tolist() == [True, True, False, False]
    assert found.tokens.weight_K.sum(dim=-1)[1].tolist() == pytest.approx([1, 1, 0, 0])
    assert found.log_prob_NT[1, 2:].tolist() == found.entropy_NT[1, 2:].tolist() == [0, 0]
    assert torch.equal(found.tokens.ids[0], free.tokens.ids[0])
    every = generated(policy.module, ends=range(policy.module.config.vocab_size))
    assert every.mask_NT.tolist() == [[True]] * 3, "nothing is generated when every row is over"


@pytest.mark.parametrize("with_kl", [False, True])
def test_the_gradient_goes_through_what_was_fed_back(policy: TinyModel, with_kl: bool) -> None:
    """By central differences, as exact as norms allow, which the architecture computes in float32."""
    module = policy.module.double()
    other = neighbour(module)
    table = torch.randn(module.config.vocab_size, 3, generator=torch.Generator().manual_seed(1)).double()

    def value() -> torch.Tensor:
        found = generated(module, SOFT, reference=other)
        if with_kl:
            assert found.reference_kl_NT is not None
            return found.reference_kl_NT.sum()
        return found.tokens.mixed(table).sum(dim=1).tanh().sum()

    module.zero_grad()
    value().backward()
    checked = (
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.v_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
        "model.norm.weight",
    )
    weights = dict(module.named_parameters())
    for name in checked:
        gradient = weights[name].grad
        assert gradient is not None
        direction = gradient / gradient.norm()
        ends = []
        for size in (1e-3, -1e-3):
            with torch.no_grad():
                weights[name].add_(size * direction)
                ends.append(float(value()))
                weights[name].sub_(size * direction)
        assert (ends[0] - ends[1]) / 2e-3 == pytest.approx(float(gradient.norm()), rel=1e-3)


def test_the_last_token_teaches_the_first_through_its_embedding_alone(policy: TinyModel) -> None:
    """A reward of the last token has a gradient in the first one's choice: it was fed back."""
    table = torch.randn(policy.module.config.vocab_size, 1, generator=torch.Generator().manual_seed(1))
    found = generated(policy.module, HARD)
    reward = found.tokens.mixed(table)[:, -1].sum()
    (gradient,) = torch.autograd.grad(reward, found.tokens.weight_K, retain_graph=True)
    assert (gradient[:, :-1] == 0).all(), "the account of earlier tokens is not what is fed back"
    policy.module.zero_grad()
    reward.backward()
    fed_back = policy.module.get_input_embeddings().weight.grad
    assert fed_back is not None
    assert fed_back[found.tokens.ids[:, 0]].abs().sum() > 0


def test_a_model_that_scales_its_embeddings_is_refused() -> None:
    config = Gemma3TextConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        head_dim=8,
    )
    with pytest.raises(TrainingError, match="Gemma3ForCausalLM scales its embeddings"):
        relaxed_rollouts(Gemma3ForCausalLM(config), [[1, 2]], [0], GRADE(GRADEConfig()), 0, max_tokens=2)
