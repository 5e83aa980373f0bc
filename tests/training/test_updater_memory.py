"""What an update keeps in memory, and in which precision."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen3Config, Qwen3ForCausalLM

from palaestra.core.chat import TokenTrace
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.arena_rl import ArenaRLConfig
from palaestra.training.objectives.quark import QuarkConfig
from palaestra.training.objectives.registry import objective as build
from palaestra.training.objectives.sdpo import SDPOConfig
from palaestra.training.objectives.sft import SFT
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.teacher import Teacher, TeacherConfig
from palaestra.training.updater import Updater
from tests.training.answers import parameters

SETTINGS = OptimizerConfig(learning_rate=1e-2, weight_decay=0.0, max_gradient_norm=1e9)
Build = Callable[..., Updater]


def named(config: Any) -> str:
    return str(config.name)


def test_gradient_checkpointing_changes_no_gradient(
    policy: TinyModel, rollouts: list[Sample], updater_of: Build
) -> None:
    found = []
    for checkpointing in (False, True):
        settings = SETTINGS.model_copy(update={"name": "sgd", "gradient_checkpointing": checkpointing})
        updater = updater_of(ArenaRLConfig(), settings)
        kept = KeptForBackward()
        with kept:
            updater.update(rollouts)
        found.append((parameters(updater.module), kept.numbers))
        assert not any(layer.training for layer in updater.module.modules())
    torch.testing.assert_close(found[0][0], found[1][0])
    assert found[1][1] < found[0][1] / 2


class KeptForBackward(torch.autograd.graph.saved_tensors_hooks):
    """Counts the numbers that are kept for the backward pass, weights left out."""

    def __init__(self) -> None:
        self.numbers = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            self.numbers += 0 if isinstance(tensor, torch.nn.Parameter) else tensor.numel()
            return tensor

        super().__init__(pack, lambda tensor: tensor)


class Largest(TorchDispatchMode):
    """The numbers of the largest tensor that any operation made, backward pass included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves(made):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made


@pytest.mark.parametrize("config", [ArenaRLConfig(kl=0.1), QuarkConfig(bins=1), SDPOConfig()], ids=named)
def test_no_tensor_is_near_all_logits_at_a_vocabulary_of_152k(config: Any) -> None:
    vocabulary, rows, generated = 152_000, 4, 24
    module = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=8,
            tie_word_embeddings=True,
        )
    ).eval()
    length = 2 + generated
    trace = TokenTrace(
        ids=tuple(range(length)), log_probs=(0.0,) * length, mask=(False,) * 2 + (True,) * generated
    )
    batch = [Sample(trace, reward=float(row), sampled=False, told_prompt=(1, 2, 3)) for row in range(rows)]
    settings = SETTINGS.model_copy(update={"logits_at_once": 8 * vocabulary})
    average = Teacher(TeacherConfig(), module)
    updater = Updater(module, build(config), settings, 1, reference=copy.deepcopy(module), teacher=average)
    with Largest() as largest:
        updater.update(batch)
    assert largest.numbers <= 8 * vocabulary == rows * generated * vocabulary // 12


@pytest.mark.parametrize(("masters", "moves"), [(True, True), (False, False)])
def test_small_steps_of_bfloat16_weights_need_masters(
    policy: TinyModel, rollouts: list[Sample], masters: bool, moves: bool
) -> None:
    """A step of 1e-5 of weights around 0.02 is below their resolution; two hundred of them are not."""
    module = copy.deepcopy(policy.module).bfloat16()
    settings = OptimizerConfig(learning_rate=1e-5, weight_decay=0.0, master_weights=masters)
    updater = Updater(module, SFT(), settings, steps=60)
    before = parameters(module)
    answers = [each._replace(sampled=False) for each in rollouts[:2]]
    for _ in range(60):
        updater.update(answers)
    large = before.abs() > 0.01
    assert ((parameters(module) != before)[large].float().mean() > 0.3) == moves
    assert all(weight.dtype == torch.bfloat16 for weight in module.parameters())
