"""The step from responses to advantages in verl's own trainer and data store, on a CPU."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
import transfer_queue as tq
from hydra import compose, initialize_config_module
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

from palaestra.core.errors import ConfigError, TrainingError
from palaestra.datasets.arithmetic.countdown import SMALL
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.objectives.aepo import AEPOState
from palaestra.training.verl.arena_trainer import ArenaTrainer
from palaestra.training.verl.rank_estimator import rank_estimator as rank_estimator

pytestmark = pytest.mark.verl

TOKENIZER = TinyModel.build("tiny/sums", ["1 + 2 * 3"] * 20, TinyConfig(vocabulary=300), "cpu").tokenizer
OVERRIDES = [
    "trainer.v1.trainer_mode=palaestra",
    "algorithm.adv_estimator=arena-rank",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    "+palaestra.judge=programmatic/own",
    "+palaestra.topology=round-robin",
]


def settings(*more: str) -> DictConfig:
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=[*OVERRIDES, *more])


@pytest.fixture(scope="module", autouse=True)
def store() -> Iterator[None]:
    ray.init(num_cpus=8, include_dashboard=False, log_to_driver=False)  # actors count as CPUs
    tq.init(settings("transfer_queue.enable=true").transfer_queue)
    yield
    tq.close()
    ray.shutdown()


def trainer(*more: str) -> Any:
    made = get_trainer_cls("palaestra")(settings(*more))
    made.tokenizer = TOKENIZER
    return made


def batch(name: str, entropy: float = 1.0, session: str = "{}_0") -> KVBatchMeta:
    """Two groups of four: a right answer among wrong ones, each in another place, and a row of padding."""
    examples = [example for example in SMALL.examples(50) if SMALL.utility(*example)][:2]
    right = (1, 2)
    rows: list[dict[str, Any]] = []
    keys: list[str] = []
    tags: list[dict[str, Any]] = []
    for number, (task, answer) in enumerate(examples):
        for place in range(4):
            ids = TOKENIZER.encode(answer if place == right[number] else "0")
            rows.append(row(f"{name}{number}", task.model_dump_json(), ids, entropy))
            keys.append(f"{name}{number}_" + session.format(place))
            tags.append({})
    rows.append(row(f"{name}-padding", rows[0]["task"], [TOKENIZER.eos_token_id], entropy))
    keys.append(f"{name}-padding_0_0")
    tags.append({"is_padding": True})
    tq.kv_batch_put(keys=keys, partition_id="train", fields=list_of_dict_to_tensordict(rows), tags=tags)
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags)


def row(uid: str, task: str, ids: list[int], entropy: float) -> dict[str, Any]:
    length = len(ids)
    return {
        "uid": uid,
        "raw_prompt": [{"role": "user", "content": "a sum, please"}],
        "task": task,
        "data_source": "countdown",
        "responses": torch.tensor(ids),
        "response_mask": torch.ones(length, dtype=torch.int64),
        "rm_scores": torch.zeros(length),
        "old_log_probs": torch.full((length,), -1.0),
        "entropy": torch.full((length,), entropy),
    }


def advantages(made: Any, drawn: KVBatchMeta) -> list[float]:
    """Of the first token of each response."""
    out = made._compute_advantage(drawn, {})
    data = tq.kv_batch_get(keys=out.keys, partition_id="train", select_fields=["advantages", "returns"])
    padded = data["advantages"].to_padded_tensor(0.0)
    assert torch.equal(padded, data["returns"].to_padded_tensor(0.0))
    found: list[float] = padded[:, 0].tolist()
    return found


def expected() -> list[float]:
    return [*rank_advantages([1, 0, 1, 1]).tolist(), *rank_advantages([1, 1, 0, 1]).tolist(), 0.0]


def test_whole_groups_are_judged_and_padding_is_not() -> None:
    assert advantages(trainer(), batch("whole")) == pytest.approx(expected())


def test_the_controller_keeps_negative_advantages_out_and_remembers(tmp_path: Path) -> None:
    band = ("objective.name=aepo", "objective.advantage=group-standardised")
    made = trainer(*(f"+palaestra.{each}" for each in band))
    above, inside = batch("above", entropy=0.3), batch("inside", entropy=0.2)
    positive = [max(0.0, value) for value in expected()]
    assert advantages(made, above) == pytest.approx(positive)
    made.store(tmp_path)
    resumed = trainer(*(f"+palaestra.{each}" for each in band))
    resumed.restore(tmp_path)
    assert resumed._objective.state == AEPOState(use_negatives=False)
    assert advantages(resumed, inside) == pytest.approx(positive)
    assert advantages(resumed, batch("below", entropy=0.1)) == pytest.approx(expected())


def test_what_cannot_be_done_is_refused() -> None:
    with pytest.raises(TrainingError, match="several outputs"):
        trainer()._compute_advantage(batch("parts", session="0_{}"), {})
    with pytest.raises(ConfigError, match="more than rewards"):
        trainer("+palaestra.objective=sdpo")
    with pytest.raises(ConfigError, match="makes no advantages"):
        trainer("+palaestra.objective=sft")
    with pytest.raises(ConfigError, match="judge"):
        ArenaTrainer(compose_without_judge())


def compose_without_judge() -> DictConfig:
    with initialize_config_module("verl.trainer.config", version_base=None):
        return compose("ppo_trainer", overrides=OVERRIDES[:3])
