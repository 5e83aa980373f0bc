"""Steps: which weights move, and how state comes back."""

import copy
from typing import Any, get_args

import pytest
import torch
from torch import nn

from palaestra.core.errors import TrainingError
from palaestra.training.optimizer import Optimizer, OptimizerConfig, OptimizerName, ScheduleName


def weights(dtype: torch.dtype = torch.float32) -> dict[str, nn.Parameter]:
    draw = torch.Generator().manual_seed(3)
    return {name: nn.Parameter(torch.randn(4, 6, generator=draw).to(dtype)) for name in ("a", "b")}


def push(parameters: dict[str, nn.Parameter], step: int = 0) -> None:
    for number, weight in enumerate(parameters.values()):
        weight.grad = torch.full_like(weight, 0.1 * (number + 1) * (-1) ** step)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_goes_on_from_its_state_with_the_same_bits(name: Any, dtype: torch.dtype) -> None:
    config = OptimizerConfig(name=name, learning_rate=0.01, schedule="cosine", warmup_steps=1)
    one, other = weights(dtype), weights(dtype)
    first = Optimizer(one, config, steps=6)
    for step in range(3):
        push(one, step)
        first.step()
    assert not torch.equal(one["a"], other["a"])
    second = Optimizer(other, config, steps=6)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for weight, stored in zip(other.values(), one.values(), strict=True):
        weight.data.copy_(stored)
    for parameters, optimizer in ((one, first), (other, second)):
        push(parameters)
        optimizer.step()
    assert all(torch.equal(one[each], other[each]) for each in one)
    assert first.learning_rate == second.learning_rate


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_every_schedule_warms_up(schedule: Any) -> None:
    config = OptimizerConfig(learning_rate=1.0, schedule=schedule, warmup_steps=2)
    parameters = weights()
    optimizer = Optimizer(parameters, config, steps=10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.learning_rate)
        push(parameters)
        optimizer.step()
    assert rates[:3] == pytest.approx([0, 0.5, 1])
    assert rates == sorted(rates[:3]) + sorted(rates[3:], reverse=True)


def test_a_mask_holds_against_momentum_and_decay() -> None:
    parameters = weights()
    before = {name: weight.detach().clone() for name, weight in parameters.items()}
    mask = torch.arange(24).view(4, 6) % 3 == 0
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.5)
    optimizer = Optimizer(parameters, config, steps=3, masks={"a": mask})
    for _ in range(3):
        push(parameters)
        optimizer.step()
    assert torch.equal(parameters["a"] != before["a"], mask)
    assert bool((parameters["b"] != before["b"]).all())


def test_masters_hold_what_bfloat16_cannot() -> None:
    parameters = {"a": nn.Parameter(torch.ones(3, dtype=torch.bfloat16))}
    config = OptimizerConfig(name="sgd", betas=(0.0, 0.0), learning_rate=1e-3, weight_decay=0.0)
    optimizer = Optimizer(parameters, config, steps=9)
    for _ in range(4):
        parameters["a"].grad = torch.ones_like(parameters["a"]) / 3**0.5
        optimizer.step()
    (master,) = optimizer.state_dict()["masters"]
    assert master.tolist() == pytest.approx([1 - 4e-3 / 3**0.5] * 3, rel=1e-4)
    assert parameters["a"].tolist() == [master[0].bfloat16().item()] * 3 != [1.0] * 3


def test_nothing_to_train_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no weight of the policy can be trained"):
        Optimizer({}, OptimizerConfig(), steps=1)
