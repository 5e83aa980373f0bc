"""The updater against plain PyTorch, and against itself with other splits."""

import asyncio
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, get_args

import pytest
import torch

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import NothingToLearn, TrainingError
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.checkpoint import load_checkpoint, save_checkpoint
from palaestra.training.objectives.aepo import AEPOConfig
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.objectives.dapo import DAPOConfig
from palaestra.training.objectives.grade import GRADEConfig
from palaestra.training.objectives.nsr import NSRConfig
from palaestra.training.objectives.off_policy import OffPolicyConfig, OffPolicyCorrected
from palaestra.training.objectives.ppo import PPOConfig
from palaestra.training.objectives.psr import PSRConfig
from palaestra.training.objectives.registry import AnyObjectiveConfig
from palaestra.training.objectives.rlpr import RLPRConfig
from palaestra.training.objectives.sdpo import SDPOConfig
from palaestra.training.objectives.sdpo_grpo import SDPOGRPOConfig
from palaestra.training.objectives.sft import SFT, SFTConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.samples import Sample
from palaestra.training.teacher import TeacherKind
from palaestra.training.updater import Updater
from tests.training.answers import log_prob, parameters, sample

SETTINGS = OptimizerConfig(learning_rate=1e-2, weight_decay=0.0, max_gradient_norm=1e9)


def samples(policy: TinyModel) -> list[Sample]:
    return [
        sample(policy, "plan a day", "09:00 Grove Museum", 1.0),
        sample(policy, "plan", "Grove", 0.1),
        sample(policy, "a day", "no plan at all today, sorry", 0.8),
    ]


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
    assert torch.equal(parameters(policy.module), parameters(twin.module))


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
    batch = [Sample(each.trace, float(n), sampled=n < 2) for n, each in enumerate(completions) if each.trace]
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig()), SETTINGS, steps=2, temperature=0.6)
    metrics = updater.update(batch)
    assert metrics["sampler_gap_max"] < 1e-4
    assert metrics["effective_sample_size_tokens"] == pytest.approx(1, abs=1e-4)
    assert metrics["effective_sample_size_sequences"] == pytest.approx(1, abs=1e-4)
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


ALL = [member() for member in get_args(get_args(AnyObjectiveConfig)[0])]
ELSEWHERE = {"grade", "grade-ste"}
"""What sampled tokens alone do not train."""
HERE = [config for config in ALL if config.name not in ELSEWHERE]
Build = Callable[..., Updater]


def named(config: Any) -> str:
    return str(config.name)


def with_feedback(policy: TinyModel, rollouts: Sequence[Sample]) -> list[Sample]:
    prompt = tuple(policy.tokenizer.encode("plan a day: 09:00 Grove Museum"))
    return [each._replace(told_prompt=prompt if row % 3 else None) for row, each in enumerate(rollouts)]


def kind_of(config: Any) -> TeacherKind | None:
    kinds: dict[str, TeacherKind] = {
        "on-policy-distillation": "model",
        "sdpo": "average",
        "sdpo-grpo": "frozen",
        "light-reasoner": "contrast",
    }
    return kinds.get(config.name)


@pytest.mark.parametrize("config", HERE, ids=named)
def test_no_split_into_passes_changes_an_update(
    policy: TinyModel, rollouts: list[Sample], updater_of: Build, config: Any
) -> None:
    """Whatever fits into a pass: rows by themselves, all together, or logits in parts."""
    batch = with_feedback(policy, rollouts)
    found = []
    for tokens, logits in ((1, 1 << 27), (90, 1 << 27), (10_000, 1 << 27), (60, 3 * len(policy.tokenizer))):
        settings = SETTINGS.model_copy(
            update={"name": "sgd", "learning_rate": 1.0, "tokens_per_pass": tokens, "logits_at_once": logits}
        )
        updater = updater_of(config, settings, kind_of(config))
        metrics = updater.update(batch)
        found.append((parameters(updater.module), metrics))
    assert not torch.equal(found[0][0], parameters(policy.module))
    for moved, metrics in found[1:]:
        torch.testing.assert_close(moved, found[0][0], atol=2e-5, rtol=1e-4)
        assert metrics == pytest.approx(found[0][1], abs=1e-4, rel=1e-3)


@dataclass(frozen=True)
class Thorough(ArenaRL):
    """Computes what has no weight, too."""

    @property
    def is_weighted_by_advantage(self) -> bool:
        return False


@dataclass(frozen=True)
class Looking(ArenaRL):
    """Wants to see the old policy before the first step."""

    @property
    def prepare_reads_policy(self) -> bool:
        return True


@pytest.mark.parametrize(("minibatches", "passes_without_gradient"), [(1, (0, 1)), (2, (1, 1))])
def test_the_first_minibatch_is_its_own_old_policy(
    policy: TinyModel, rollouts: list[Sample], minibatches: int, passes_without_gradient: tuple[int, int]
) -> None:
    """Its ratio is 1, so that a pass for the old log-probabilities is spared."""
    found = []
    for objective, expected in zip((ArenaRL, Looking), passes_without_gradient, strict=True):
        module, passes = copy.deepcopy(policy.module), Passes()
        module.base_model.register_forward_hook(passes, with_kwargs=True)
        settings = SETTINGS.model_copy(update={"name": "sgd"})
        updater = Updater(module, objective(ArenaRLConfig()), settings, steps=2)
        metrics = updater.update(rollouts, minibatches)
        assert sum(not gradient for gradient in passes.with_gradient) == expected * passes.of_one_batch
        found.append((parameters(module), metrics))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-6, rtol=1e-5)
    shared = found[0][1].keys() - {name for name in found[0][1] if name.startswith(("sampler", "effective"))}
    assert [found[0][1][name] for name in shared] == pytest.approx([found[1][1][name] for name in shared])


def test_what_was_not_sampled_has_weight_1_in_every_minibatch(
    policy: TinyModel, rollouts: list[Sample]
) -> None:
    found = []
    for objective in (
        ArenaRL(ArenaRLConfig()),
        OffPolicyCorrected(ArenaRL(ArenaRLConfig()), OffPolicyConfig()),
    ):
        module = copy.deepcopy(policy.module)
        imitated = [each._replace(sampled=False) for each in rollouts]
        Updater(module, objective, SETTINGS, steps=2).update(imitated, minibatches=2)
        found.append(parameters(module))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


def test_the_gap_is_measured_before_the_policy_moves(policy: TinyModel, rollouts: list[Sample]) -> None:
    """Of an objective that does not ask for the old policy nothing is known of the second minibatch then."""
    later = [each._replace(sampled=place >= 6) for place, each in enumerate(rollouts)]
    metrics = Updater(policy.module, SFT(), SETTINGS, steps=2).update(later, minibatches=2)
    assert "gradient_norm" in metrics
    assert "sampler_gap_mean" not in metrics


class Passes:
    """Forward passes of a module, told by a hook."""

    def __init__(self) -> None:
        self.with_gradient: list[bool] = []
        self.rows: list[tuple[int, int]] = []

    def __call__(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        self.with_gradient.append(torch.is_grad_enabled())
        self.rows.append(tuple(kwargs["input_ids"].shape))

    @property
    def of_one_batch(self) -> int:
        """The prompts and what follows them are two passes."""
        return 2


@dataclass(frozen=True)
class Peeking(ArenaRL):
    """Reads what it said it would not."""

    @property
    def prepare_reads_policy(self) -> bool:
        return False

    def prepare(self, batch: TokenBatch) -> tuple[TokenBatch, Self]:
        prepared, successor = super().prepare(batch)
        return replace(prepared, advantage_NT=prepared.advantage_NT * batch.entropy_NT), successor


def test_an_objective_that_reads_what_it_did_not_ask_for_fails(
    policy: TinyModel, rollouts: list[Sample]
) -> None:
    with pytest.raises(TrainingError, match="the gradient is nan"):
        Updater(policy.module, Peeking(ArenaRLConfig()), SETTINGS, steps=1).update(rollouts)


def test_what_has_no_advantage_is_skipped_without_a_difference(
    policy: TinyModel, rollouts: list[Sample]
) -> None:
    level = [each._replace(reward=0.5) if each.group == 1 else each for each in rollouts]
    found = []
    for objective in (ArenaRL(ArenaRLConfig()), Thorough(ArenaRLConfig())):
        module = copy.deepcopy(policy.module)
        updater = Updater(module, objective, SETTINGS.model_copy(update={"name": "sgd"}), steps=1)
        updater.update(level)
        found.append(parameters(module))
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (ArenaRLConfig(), {"reward": 0.3}, "all advantages of 12 samples are 0"),
        (DAPOConfig(), {"reward": 0.3}, "kept none of 12 samples"),
        (PSRConfig(), {"reward": 0.0}, "kept none"),
        (NSRConfig(), {"reward": 1.0}, "kept none"),
    ],
    ids=["arena-rl", "dapo", "psr", "nsr"],
)
def test_a_batch_that_teaches_nothing_is_told_and_moves_nothing(
    policy: TinyModel, rollouts: list[Sample], updater_of: Build, config: Any, change: Any, message: str
) -> None:
    updater = updater_of(config)
    with pytest.raises(NothingToLearn, match=message):
        updater.update([each._replace(**change) for each in rollouts])
    assert torch.equal(parameters(updater.module), parameters(policy.module))
    assert updater.state_dict()["scheduler"]["last_epoch"] == 0


def test_bad_input_is_told(rollouts: list[Sample], updater_of: Build) -> None:
    with pytest.raises(NothingToLearn, match="there is no sample"):
        updater_of(ArenaRLConfig()).update([])
    with pytest.raises(NothingToLearn, match="all advantages of 1 samples"):  # a group of one
        updater_of(ArenaRLConfig()).update(rollouts[:1])
    broken = [rollouts[0]._replace(reward=math.nan), *rollouts[1:]]
    with pytest.raises(TrainingError, match="reward of rollout 0 is nan"):
        updater_of(ArenaRLConfig()).update(broken)
    silent = rollouts[0].trace.model_copy(update={"mask": (False,) * len(rollouts[0].trace.ids)})
    with pytest.raises(NothingToLearn):
        updater_of(SFTConfig()).update([Sample(silent, sampled=False)])
    with pytest.raises(NothingToLearn):
        updater_of(SDPOConfig(), kind="average").update([Sample(silent, told_prompt=(1, 2))] * 2)
    with pytest.raises(NothingToLearn):
        updater_of(SDPOGRPOConfig(), kind="average").update([Sample(silent, told_prompt=(1, 2))] * 2)
    with pytest.raises(TrainingError, match="learns from a teacher"):
        updater_of(SDPOConfig())
    with pytest.raises(TrainingError, match="relaxed generation"):
        updater_of(GRADEConfig())


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (AEPOConfig(entropy_low=0.1, entropy_high=0.2), None),
        (RLPRConfig(average_from=1, filter_from=2), None),
        (PPOConfig(), None),
        (SDPOConfig(), "average"),
        (SDPOGRPOConfig(), "trust-region"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_restored_updater_goes_on_with_the_same_bits(
    policy: TinyModel, rollouts: list[Sample], updater_of: Build, tmp_path: Path, config: Any, kind: Any
) -> None:
    """State of objectives, of a moving average and of a value model included."""
    batch = with_feedback(policy, rollouts)

    settings = OptimizerConfig(learning_rate=1e-4, schedule="cosine")
    whole, again = updater_of(config, settings, kind), updater_of(config, settings, kind)
    whole.update(batch)
    save_checkpoint(tmp_path / "saved", TinyModel("saved", whole.module, policy.tokenizer), whole)
    if config.name in ("aepo", "rlpr"):
        assert again.state_dict()["objective"] != whole.state_dict()["objective"], "nothing to be restored"
    load_checkpoint(tmp_path / "saved", TinyModel("again", again.module, policy.tokenizer), again)
    assert again.state_dict()["objective"] == whole.state_dict()["objective"]
    assert whole.update(batch) == again.update(batch)
    assert torch.equal(parameters(whole.module), parameters(again.module))
    assert whole.state_dict()["objective"] == again.state_dict()["objective"]


def test_a_checkpoint_of_another_shape_is_refused(
    policy: TinyModel, updater_of: Build, tmp_path: Path
) -> None:
    updater = updater_of(ArenaRLConfig())
    save_checkpoint(tmp_path / "saved", policy, updater)
    wide = TinyConfig(vocabulary=300, hidden=64, layers=2, heads=2, feed_forward=64, window=256)
    other = TinyModel.build("tiny/wide", ["plan a day"] * 20, wide, device="cpu", seed=1)
    with pytest.raises(TrainingError, match=r"cannot resume from .*start the training anew"):
        load_checkpoint(tmp_path / "saved", other, Updater(other.module, SFT(), SETTINGS, steps=1))


def test_a_tokenizer_without_a_pad_token_will_do(policy: TinyModel, updater_of: Build) -> None:
    async def draw() -> list[Completion]:
        prompts = ("plan a day", "plan", "a museum at nine")
        asked = [Message(role="user", content=prompt) for prompt in prompts]
        return await asyncio.gather(
            *(policy.generate([each], Sampling(max_tokens=9, seed=1)) for each in asked)
        )

    policy.tokenizer.pad_token = None
    policy.module.generation_config.pad_token_id = None
    assert policy.tokenizer.pad_token_id is None
    drawn = [Sample(each.trace, float(row)) for row, each in enumerate(asyncio.run(draw())) if each.trace]
    assert updater_of(ArenaRLConfig()).update(drawn)["sampler_gap_max"] < 1e-4
