"""LoRA and PiSSA: what they start as, what trains, and how they come back."""

import copy
from pathlib import Path
from typing import Literal

import pytest
import torch
from transformers import PreTrainedModel

from palaestra.core.errors import ConfigError, TrainingError
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyModel
from palaestra.training.adapters import AdapterConfig, add_adapter, frozen, merged
from palaestra.training.checkpoint import load_checkpoint, save_checkpoint
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

Kind = Literal["lora", "pissa"]
KINDS: tuple[Kind, ...] = ("lora", "pissa")
SETTINGS = OptimizerConfig(learning_rate=1e-3, weight_decay=0.0)


def logits(module: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module(input_ids=torch.arange(12)[None]).logits
    return found


def adapted(policy: TinyModel, kind: Kind) -> TinyModel:
    module = copy.deepcopy(policy.module)
    add_adapter(module, AdapterConfig(kind=kind, rank=4), seed=1)
    return TinyModel("adapted", module, policy.tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_is_the_policy_as_it_began_and_shares_its_frozen_weights(
    policy: TinyModel, rollouts: list[Sample], kind: Kind
) -> None:
    start = adapted(policy, kind)
    began = logits(start.module)
    torch.testing.assert_close(began, logits(policy.module), atol=1e-5, rtol=1e-4)
    reference = frozen(start.module)
    objective = GRPO(GRPOConfig(kl=0.1))
    updater = Updater(start.module, objective, SETTINGS, 3, reference=reference)
    assert updater.update(rollouts)["kl_to_reference"] == 0
    assert updater.update(rollouts)["kl_to_reference"] > 1e-6
    assert torch.equal(logits(reference), began)
    weights = {weight.data_ptr() for weight in start.module.parameters()}
    own = [name for name, weight in reference.named_parameters() if weight.data_ptr() not in weights]
    assert own
    assert all("lora_" in name for name in own)
    assert not any(weight.requires_grad for weight in reference.parameters())


def test_the_reference_of_a_policy_without_adapters_shares_nothing(policy: TinyModel) -> None:
    weights = {weight.data_ptr() for weight in policy.module.parameters()}
    assert not any(weight.data_ptr() in weights for weight in frozen(policy.module).parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_adapters_move(policy: TinyModel, rollouts: list[Sample], kind: Kind) -> None:
    start = adapted(policy, kind)
    before = {name: value.clone() for name, value in start.module.state_dict().items()}
    Updater(start.module, GRPO(GRPOConfig(kl=0)), SETTINGS, 1).update(rollouts)
    moved = {
        name for name, value in start.module.state_dict().items() if not torch.equal(value, before[name])
    }
    trained = {name for name in before if "lora_" in name}
    assert len(trained) == 2 * 2 * 7
    # The gradient of A is that of B's product with it, and LoRA's B begins at 0.
    assert moved == (trained if kind == "pissa" else {name for name in trained if "lora_B" in name})


def test_pissa_leaves_the_rest_of_the_singular_values(policy: TinyModel) -> None:
    layer = policy.module.model.layers[0].mlp.up_proj
    values = torch.linalg.svdvals(layer.weight)
    rest = adapted(policy, "pissa").module.model.layers[0].mlp.up_proj.base_layer.weight
    assert rest.square().sum().item() == pytest.approx(values[4:].square().sum().item(), rel=1e-4)


@pytest.mark.parametrize("alpha", [1, 2, 8])
def test_the_principal_part_does_not_depend_on_its_scale(policy: TinyModel, alpha: int) -> None:
    layer = policy.module.model.layers[0].mlp.up_proj
    u_OR, s_R, v_RI = torch.linalg.svd(layer.weight.detach())
    module = copy.deepcopy(policy.module)
    add_adapter(module, AdapterConfig(kind="pissa", rank=4, alpha=alpha), seed=1)
    product = module.model.layers[0].mlp.up_proj.get_delta_weight("default")
    torch.testing.assert_close(product, (u_OR[:, :4] * s_R[:4]) @ v_RI[:4], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_a_whole_model_and_goes_on_with_the_same_bits(
    policy: TinyModel, rollouts: list[Sample], tmp_path: Path, kind: Kind
) -> None:
    one, other = adapted(policy, kind), adapted(policy, kind)
    for name, value in other.module.named_parameters():
        if "lora_A" in name:
            value.data.mul_(0.5)  # another start, as another machine's decomposition would be
    first, second = (Updater(each.module, GRPO(GRPOConfig(kl=0)), SETTINGS, 4) for each in (one, other))
    first.update(rollouts)
    folder = tmp_path / "saved"
    save_checkpoint(folder, one, first)
    read = HFModel.from_config(ModelConfig(name=f"hf/{folder}", device="cpu"))
    torch.testing.assert_close(logits(read.module), logits(one.module), atol=1e-5, rtol=1e-4)
    load_checkpoint(folder, other, second)
    assert first.update(rollouts) == second.update(rollouts)
    assert torch.equal(logits(one.module), logits(other.module))
    torch.testing.assert_close(logits(merged(one.module)), logits(one.module), atol=1e-5, rtol=1e-4)


def test_a_checkpoint_of_other_adapters_is_refused(policy: TinyModel, tmp_path: Path) -> None:
    one = adapted(policy, "lora")
    save_checkpoint(tmp_path / "saved", one, Updater(one.module, GRPO(GRPOConfig(kl=0)), SETTINGS, 1))
    module = copy.deepcopy(policy.module)
    add_adapter(module, AdapterConfig(kind="lora", rank=4, targets=("q_proj",)), seed=1)
    other = TinyModel("other", module, policy.tokenizer)
    updater = Updater(module, GRPO(GRPOConfig(kl=0)), SETTINGS, 1)
    with pytest.raises(TrainingError, match=r"cannot resume .* its adapters are others"):
        load_checkpoint(tmp_path / "saved", other, updater)


def test_targets_that_are_not_there_are_told(policy: TinyModel) -> None:
    with pytest.raises(ConfigError, match=r"adapter.targets=\['nothing'\] cannot be adapted"):
        add_adapter(policy.module, AdapterConfig(kind="lora", targets=("nothing",)), seed=1)
