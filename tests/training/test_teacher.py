"""Runs with a teacher: who it may be, and what is learnt of it."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3ForCausalLM

from palaestra.core.errors import ConfigError, TrainingError
from palaestra.core.events import Event, JudgementGiven, StepSkipped, UpdateDone
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.pipeline import train
from tests.training.runs import Run, differ, method, settings, updates


def test_a_teacher_that_is_the_policy_has_nothing_to_teach(run: Run, start: Path, amateur: Path) -> None:
    """Up to the sampler's last digits; and no judge is asked where nothing is rewarded."""
    store = run(reward="none", steps=1, **method("on-policy-distillation", start, amateur))
    (update,) = updates(store)
    assert update.metrics["kl_to_teacher"] == pytest.approx(0, abs=1e-5)
    assert update.metrics["gradient_norm"] < 1e-3
    assert not [event for event in store.events(JudgementGiven) if event.group.startswith("step-")]
    store.close()


def test_what_an_expert_knows_better_is_learnt_at_critical_steps_alone(
    run: Run, start: Path, amateur: Path
) -> None:
    """The divergence from the contrast falls; and where nothing differs by so much, nothing is learnt."""
    changes = method("light-reasoner", start, amateur) | {"reward": "none", "steps": 4}
    optimizer = {"learning_rate": 3e-3, "weight_decay": 0.0}
    few, all_steps = (
        run(
            **changes
            | {"objective": {"name": "light-reasoner", "least_divergence": least}, "optimizer": optimizer}
        )
        for least in (0.4, 0.0)
    )
    assert updates(few)[0].metrics["loss"] > updates(all_steps)[0].metrics["loss"]
    losses = [update.metrics["loss"] for update in updates(all_steps)]
    assert losses[-1] < 0.8 * losses[0]
    none = run(**changes | {"objective": {"name": "light-reasoner", "least_divergence": 50.0}})
    assert [event.step for event in none.events(StepSkipped)] == [1, 2, 3, 4]
    assert not differ(start, none.folder / "checkpoints" / "step-000004")
    for store in (few, all_steps, none):
        store.close()


def test_a_teacher_of_another_vocabulary_is_refused(run: Run, start: Path, tmp_path: Path) -> None:
    """Of the same size."""
    other = TinyModel.build("tiny/other", ["other words altogether"] * 9, TinyConfig(vocabulary=280))
    words = HFModel.from_config(ModelConfig(name=f"hf/{start}")).tokenizer
    module = HFModel.from_config(ModelConfig(name=f"hf/{start}")).module
    assert len(words) != len(other.tokenizer)
    HFModel("other", module, other.tokenizer).save(tmp_path / "other")
    teacher = {"kind": "model", "model": {"name": f"hf/{tmp_path}/other", "device": "cpu"}}
    with pytest.raises(ConfigError, match="have different vocabularies"):
        run(objective="on-policy-distillation", teacher=teacher)


def padded(folder: Path, rows: int, like: int, new: Path) -> Path:
    """The same model with a vocabulary that is so many rows longer, each as likely as the token `like`."""
    model = HFModel.from_config(ModelConfig(name=f"hf/{folder}", device="cpu"))
    known = model.module.config.vocab_size
    model.module.resize_token_embeddings(known + rows, mean_resizing=False)
    with torch.no_grad():
        weight = model.module.get_input_embeddings().weight
        weight[known:] = weight[like]
    model.save(new)
    return new


def never(folder: Path) -> int:
    """A token that is never drawn."""
    token = HFModel.from_config(ModelConfig(name=f"hf/{folder}", device="cpu")).tokenizer.pad_token_id
    assert isinstance(token, int)
    return token


@pytest.mark.parametrize("name", ["light-reasoner", "on-policy-distillation", "sdpo"])
@pytest.mark.parametrize("whose", ["policy", "teacher"])
def test_a_vocabulary_that_is_only_padded_otherwise_is_no_other_one(
    run: Run, start: Path, amateur: Path, tmp_path: Path, name: str, whose: str
) -> None:
    """What is learnt differs as little as the probability of the padding; a longer policy draws otherwise."""
    changes = method(name, start, amateur) | {"reward": "utility", "steps": 1}
    if name == "sdpo":
        changes["teacher"] = {"kind": "model", "model": {"name": f"hf/{amateur}", "device": "cpu"}}
    alike = updates(run(**changes))[0].metrics
    if whose == "policy":
        longer = padded(start, 8, never(start), tmp_path / "longer")
        changes["policy"] = {"name": f"hf/{longer}", "device": "cpu", "concurrency": 256}
    else:
        folder = Path(changes["teacher"]["model"]["name"].removeprefix("hf/"))
        longer = padded(folder, 8, never(start), tmp_path / "longer")
        changes["teacher"]["model"] = {"name": f"hf/{longer}", "device": "cpu"}
    otherwise = updates(run(**changes))[0].metrics
    near = 0.1 if whose == "policy" else 0.01
    assert otherwise["loss"] == pytest.approx(alike["loss"], rel=near, abs=1e-4)


def test_padding_that_the_policy_draws_is_told(run: Run, start: Path, amateur: Path, tmp_path: Path) -> None:
    end = HFModel.from_config(ModelConfig(name=f"hf/{start}", device="cpu")).tokenizer.eos_token_id
    assert isinstance(end, int)
    longer = padded(start, 8, end, tmp_path / "longer")
    policy = {"name": f"hf/{longer}", "device": "cpu", "concurrency": 256}
    changes = method("light-reasoner", start, amateur) | {"policy": policy, "reward": "none"}
    with pytest.raises(TrainingError, match="which is but padding of its vocabulary"):
        run(**changes)


def test_a_teacher_with_too_few_weights_for_its_tokenizer_is_refused(
    run: Run, start: Path, tmp_path: Path
) -> None:
    shorter = padded(start, -1, 0, tmp_path / "shorter")
    teacher = {"kind": "model", "model": {"name": f"hf/{shorter}", "device": "cpu"}}
    with pytest.raises(ConfigError, match="tokens and a tokenizer of"):
        run(objective="on-policy-distillation", teacher=teacher, reward="none")


def in_memory() -> int:
    gc.collect()
    return sum(type(each) is Qwen3ForCausalLM for each in gc.get_objects())


def models_in_a_run(start: Path, folder: Path, **changes: Any) -> int:
    """How many there are beside those that are there before, when the first step is done."""
    config = settings(start, reward="utility", steps=1, **changes)
    store = RunStore.create(folder, "train", config)
    counts = []

    def count(event: Event) -> None:
        store.write(event)
        if isinstance(event, UpdateDone) and event.phase == "train":
            counts.append(in_memory())

    before = in_memory()
    asyncio.run(train(config, store, count))
    store.close()
    return counts[0] - before


@pytest.mark.parametrize(
    ("kind", "models"), [("frozen", 2), ("trust-region", 2), ("average", 3), ("current", 2)]
)
def test_the_start_policy_is_kept_once(start: Path, tmp_path: Path, kind: str, models: int) -> None:
    """As the reference of a KL term and as the teacher, beside the policy."""
    objective = {"name": "sdpo-grpo", "kl": 0.1}
    assert models_in_a_run(start, tmp_path, objective=objective, teacher={"kind": kind}) == models
