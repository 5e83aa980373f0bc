"""Laws that hold for all objectives alike."""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from palaestra.core.errors import TrainingError
from palaestra.training.objectives import registry
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.base import Need, Objective, TokenBatch
from palaestra.training.objectives.off_policy import OffPolicyConfig, OffPolicyCorrected
from palaestra.training.objectives.registry import AnyObjectiveConfig, objective

CONFIGS = [member for member in get_args(get_args(AnyObjectiveConfig)[0])]
NAMES = [config.model_fields["name"].default for config in CONFIGS]
REWARDED = [
    "ppo",
    "quark",
    *(name for config, name in zip(CONFIGS, NAMES, strict=True) if "advantage" in config.model_fields),
]
LEAVES = (
    "log_prob_NT",
    "live_entropy_NT",
    "candidate_log_prob_NTK",
    "value_NT",
    "relaxed_reward_N",
    "reference_kl_NT",
    "teacher_kl_NT",
)
"""What carries a gradient."""


def build(name: str, **settings: Any) -> Objective:
    any_objective: TypeAdapter[Any] = TypeAdapter(AnyObjectiveConfig)
    return objective(any_objective.validate_python({"name": name, **settings}))


def later(batch: TokenBatch) -> TokenBatch:
    """The prepared batch after a step of the optimizer: the policy has moved, and carries a gradient."""
    draw = torch.Generator().manual_seed(11)
    moved = {}
    for name in LEAVES:
        value: Tensor = getattr(batch, name)
        noise = 0.05 * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        moved[name] = (value + noise).requires_grad_()
    return dataclasses.replace(batch, **moved)


def loss(subject: Objective, batch: TokenBatch, totals: Totals) -> Tensor:
    return aggregate(subject(batch).loss_NT, batch.mask_NT, subject.aggregation, totals)


def gradients(value: Tensor, batch: TokenBatch) -> dict[str, Tensor]:
    leaves = [getattr(batch, name) for name in LEAVES]
    found = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return dict(zip(LEAVES, found, strict=True))


def rows(batch: TokenBatch, part: slice) -> TokenBatch:
    given = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    taken: dict[str, Any] = {name: None if value is None else value[part] for name, value in given.items()}
    return TokenBatch(**taken)


def without(batch: TokenBatch, needs: Iterable[str]) -> TokenBatch:
    nothing: dict[str, Any] = dict.fromkeys(needs)
    return dataclasses.replace(batch, **nothing)


def parts(batch: TokenBatch, size: int) -> Iterator[TokenBatch]:
    for start in range(0, len(batch.mask_NT), size):
        yield rows(batch, slice(start, start + size))


def test_the_registry_names_every_objective_and_tells_of_it() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 26
    assert isinstance(registry.__doc__, str)
    table = registry.__doc__.replace(",", " ").split()
    for name in NAMES:
        assert name in table
        assert isinstance(build(name), Objective)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "pipeline-rl"])
def test_gradients_are_those_of_finite_differences(name: str, whole_batch: TokenBatch) -> None:
    """But for weights that are meant to be constants, which pipeline-rl multiplies by the log-probability."""
    subject = build(name)
    prepared, _ = subject.prepare(whole_batch)
    batch = later(prepared)
    totals = Totals.of(batch.mask_NT)
    moving = gradients(loss(subject, batch, totals), batch)
    leaves = [leaf for leaf in LEAVES if moving[leaf].abs().sum() > 0]

    def total(*values: Tensor) -> Tensor:
        moved = dataclasses.replace(batch, **dict(zip(leaves, values, strict=True)))
        return loss(subject, moved, totals)

    inputs = [getattr(batch, leaf).detach().requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_the_split_into_parts_changes_neither_loss_nor_gradient(name: str, whole_batch: TokenBatch) -> None:
    subject = build(name)
    prepared, _ = subject.prepare(whole_batch)
    batch = later(prepared)
    totals = Totals.of(batch.mask_NT)
    whole = loss(subject, batch, totals)
    split = sum(loss(subject, part, totals) for part in parts(batch, subject.rows_together))
    assert isinstance(split, Tensor)
    torch.testing.assert_close(split, whole)
    expected = gradients(whole, batch)
    assert any(gradient.abs().sum() > 0 for gradient in expected.values())
    torch.testing.assert_close(gradients(split, batch), expected)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_is_not_seen(name: str, whole_batch: TokenBatch) -> None:
    subject = build(name)
    prepared, _ = subject.prepare(whole_batch)
    batch = later(prepared)
    hidden = ~batch.mask_NT
    spoilt = dataclasses.replace(
        batch,
        log_prob_NT=batch.log_prob_NT.masked_fill(hidden, -7.0).detach().requires_grad_(),
        entropy_NT=batch.entropy_NT.masked_fill(hidden, 9.0),
        old_log_prob_NT=batch.given("old_log_prob_NT").masked_fill(hidden, -1e4),
    )
    totals = Totals.of(batch.mask_NT)
    value = loss(subject, spoilt, totals)
    torch.testing.assert_close(value, loss(subject, batch, totals))
    gradient = gradients(value, spoilt)["log_prob_NT"]
    assert gradient.isfinite().all()
    assert (gradient[hidden] == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_masked_is_not_prepared_with(name: str, whole_batch: TokenBatch) -> None:
    hidden = ~whole_batch.mask_NT
    spoilt = dataclasses.replace(
        whole_batch,
        log_prob_NT=whole_batch.log_prob_NT.masked_fill(hidden, -7.0),
        entropy_NT=whole_batch.entropy_NT.masked_fill(hidden, 9.0),
        reference_log_prob_NT=whole_batch.given("reference_log_prob_NT").masked_fill(hidden, -3.0),
        sampler_log_prob_NT=whole_batch.given("sampler_log_prob_NT").masked_fill(hidden, -2.0),
    )
    clean, successor = build(name).prepare(whole_batch)
    found, same = build(name).prepare(spoilt)
    torch.testing.assert_close(found.advantage_NT, clean.advantage_NT)
    assert torch.equal(found.mask_NT, clean.mask_NT)
    assert same == successor


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_tokens_has_loss_and_gradient_zero(name: str, whole_batch: TokenBatch) -> None:
    nothing = torch.zeros_like(whole_batch.mask_NT)
    subject = build(name)
    prepared, _ = subject.prepare(dataclasses.replace(whole_batch, mask_NT=nothing))
    batch = later(prepared)
    value = loss(subject, batch, Totals.of(nothing))
    assert value.item() == 0
    assert all((gradient == 0).all() for gradient in gradients(value, batch).values())


@pytest.mark.parametrize("name", NAMES)
def test_needs_are_what_is_read(name: str, whole_batch: TokenBatch) -> None:
    subject = build(name)
    enough = without(whole_batch, set(get_args(Need)) - set(subject.needs))
    subject(subject.prepare(enough)[0])
    for need in subject.needs:
        with pytest.raises(TrainingError, match=need):
            subject(subject.prepare(without(enough, [need]))[0])


@pytest.mark.parametrize("name", ["aepo", "rlpr"])
def test_state_survives_being_stored(name: str, whole_batch: TokenBatch) -> None:
    subject = build(name)
    for _ in range(7):
        _, subject = subject.prepare(whole_batch)
    assert subject.stored() != build(name).stored()
    restored = build(name).restored(json.loads(json.dumps(subject.stored())))
    assert restored == subject
    corrected = OffPolicyCorrected(build(name), OffPolicyConfig())
    assert corrected.restored(subject.stored()).stored() == subject.stored()


@pytest.mark.parametrize("name", REWARDED)
def test_a_reward_that_is_no_number_is_refused(name: str, whole_batch: TokenBatch) -> None:
    spoilt = whole_batch.given("reward_N").clone()
    spoilt[3] = torch.nan
    with pytest.raises(TrainingError, match="the reward of rollout 3 is nan"):
        build(name).prepare(dataclasses.replace(whole_batch, reward_N=spoilt))
