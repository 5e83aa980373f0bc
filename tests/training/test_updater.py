"""The updater against plain PyTorch, and against itself with other splits."""

import asyncio
import copy

import pytest
import torch

from palaestra.core.chat import Completion, Message, Sampling, TokenTrace
from palaestra.core.errors import TrainingError
from palaestra.models.log_probs import token_statistics
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.sft import SFT
from palaestra.training.updater import OptimizerConfig, Sample, Updater

SETTINGS = OptimizerConfig(learning_rate=1e-2, weight_decay=0.0, max_gradient_norm=1e9)


def sample(policy: TinyModel, prompt: str, answer: str, advantage: float) -> Sample:
    before, after = policy.tokenizer.encode(prompt), policy.tokenizer.encode(answer)
    length = len(before) + len(after)
    mask = (False,) * len(before) + (True,) * len(after)
    trace = TokenTrace(ids=(*before, *after), log_probs=(0.0,) * length, mask=mask)
    return Sample(trace, advantage, sampled=False)


def samples(policy: TinyModel) -> list[Sample]:
    return [
        sample(policy, "plan a day", "09:00 Grove Museum", 1.0),
        sample(policy, "plan", "Grove", -0.4),
        sample(policy, "a day", "no plan at all today, sorry", 0.7),
    ]


def log_prob(policy: TinyModel, one: Sample) -> float:
    ids, mask = torch.tensor([one.trace.ids]), torch.tensor([one.trace.mask])
    with torch.no_grad():
        return token_statistics(policy.module, ids, torch.ones_like(ids), mask).log_prob_M.sum().item()


def parameters(policy: TinyModel) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.module.parameters()])


def test_sft_loss_is_the_cross_entropy_of_transformers(policy: TinyModel) -> None:
    one = sample(policy, "plan a day", "09:00 Grove Museum", 1.0)
    ids = torch.tensor([one.trace.ids])
    labels = ids.masked_fill(~torch.tensor([one.trace.mask]), -100)
    with torch.no_grad():
        expected = policy.module(input_ids=ids, labels=labels).loss.item()
    metrics = Updater(policy.module, SFT(), SETTINGS, steps=1).update([one])
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_split_into_passes_does_not_change_the_update(policy: TinyModel) -> None:
    other = copy.deepcopy(policy.module)
    whole = Updater(policy.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=1).update(samples(policy))
    narrow = SETTINGS.model_copy(update={"tokens_per_pass": 1})
    split = Updater(other, ArenaRL(ArenaRLConfig()), narrow, steps=1).update(samples(policy))
    assert split["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    assert split["gradient_norm"] == pytest.approx(whole["gradient_norm"], rel=1e-4)


def test_an_update_moves_probability_towards_the_better_answer(policy: TinyModel) -> None:
    good, bad = sample(policy, "plan", "museum", 1.0), sample(policy, "plan", "sorry", -1.0)
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=5)
    before = log_prob(policy, good), log_prob(policy, bad)
    for _ in range(5):
        updater.update([good, bad])
    assert log_prob(policy, good) > before[0]
    assert log_prob(policy, bad) < before[1]


def test_same_samples_same_parameters_bit_for_bit(policy: TinyModel) -> None:
    twin = TinyModel("twin", copy.deepcopy(policy.module), policy.tokenizer)
    for model in (policy, twin):
        updater = Updater(model.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=4)
        updater.update(samples(model), minibatches=3)
    assert torch.equal(parameters(policy), parameters(twin))


def test_a_reference_is_asked_for_by_name(policy: TinyModel) -> None:
    with pytest.raises(TrainingError, match="needs a reference"):
        Updater(policy.module, ArenaRL(ArenaRLConfig(kl=0.1)), SETTINGS, steps=1)


def test_kl_is_zero_against_itself_and_grows_with_the_distance(policy: TinyModel) -> None:
    reference = copy.deepcopy(policy.module)
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig(kl=0.01)), SETTINGS, steps=2, reference=reference)
    first = updater.update(samples(policy))
    second = updater.update(samples(policy))
    assert first["kl_to_reference"] == pytest.approx(0, abs=1e-6)
    assert second["kl_to_reference"] > 1e-4


def test_the_gap_to_the_sampler_is_told_for_what_was_sampled(policy: TinyModel) -> None:
    """At any temperature; a greedy answer, whose trace is of temperature 1, is left out."""

    async def draw() -> list[Completion]:
        asked = (Sampling(temperature=each, max_tokens=20, seed=3) for each in (0.6, 0.6, 0.0))
        return await asyncio.gather(
            *(policy.generate([Message(role="user", content="plan")], s) for s in asked)
        )

    completions = asyncio.run(draw())
    batch = [Sample(each.trace, 1.0, sampled=n < 2) for n, each in enumerate(completions) if each.trace]
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=2, temperature=0.6)
    assert updater.update(batch)["sampler_gap_max"] < 1e-4
    other = Updater(policy.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=2, temperature=0.1)
    with pytest.raises(TrainingError, match="sampler and trainer differ by"):
        other.update(batch)


@pytest.mark.parametrize(
    ("schedule", "expected"), [("constant", [0, 0.5, 1, 1]), ("linear", [0, 0.5, 1, 0.5])]
)
def test_schedules_warm_up(policy: TinyModel, schedule: str, expected: list[float]) -> None:
    settings = OptimizerConfig.model_validate({"learning_rate": 1.0, "schedule": schedule, "warmup_steps": 2})
    updater = Updater(policy.module, SFT(), settings, steps=4)
    rates = [updater.update(samples(policy))["learning_rate"] for _ in range(4)]
    assert rates == pytest.approx(expected)


def test_the_gradient_is_clipped_to_its_norm(policy: TinyModel) -> None:
    """With plain momentum-free AdamW steps a clipped gradient shows in the second moment."""
    settings = SETTINGS.model_copy(update={"max_gradient_norm": 1e-3})
    updater = Updater(policy.module, SFT(), settings, steps=1)
    assert updater.update(samples(policy))["gradient_norm"] > 1e-3  # told before clipping
    moments = [state["exp_avg"] for state in updater.state_dict()["optimizer"]["state"].values()]
    norm = torch.cat([moment.flatten() for moment in moments]).norm() / (1 - SETTINGS.betas[0])
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_gradient_that_is_not_finite_ends_training(policy: TinyModel) -> None:
    with torch.no_grad():
        next(policy.module.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingError, match="lower the learning rate"):
        Updater(policy.module, SFT(), SETTINGS, steps=1).update(samples(policy))
