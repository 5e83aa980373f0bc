"""Merging saved models: what is written, in how many files, and what does not go together."""

import asyncio
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from palaestra.cli.merge import merge as merge_verb
from palaestra.core.chat import Message, Sampling
from palaestra.core.errors import ConfigError
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.merging.folders import MergeConfig, merge_folders
from palaestra.training.merging.linear import LinearConfig

SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=128)


def save(folder: Path, seed: int, config: TinyConfig = SMALL, corpus: str = "plan a day") -> Path:
    TinyModel.build("tiny/x", [corpus] * 20, config, device="cpu", seed=seed).save(folder)
    return folder


def test_the_result_is_a_model_between_its_experts(tmp_path: Path) -> None:
    base, one, other = (save(tmp_path / str(seed), seed) for seed in range(3))
    config = MergeConfig(base=base, experts=(one, other), method=LinearConfig(weights=(1, 3)))
    merge_folders(config, tmp_path / "merged")
    name = "model.layers.0.mlp.up_proj.weight"
    found, *experts = (
        load_file(folder / "model.safetensors")[name] for folder in (tmp_path / "merged", one, other)
    )
    torch.testing.assert_close(found, 0.25 * experts[0] + 0.75 * experts[1])
    model = HFModel.from_config(ModelConfig(name=f"hf/{tmp_path / 'merged'}", device="cpu"))
    message = Message(role="user", content="plan")
    assert asyncio.run(model.generate([message], Sampling(max_tokens=3))).usage.tokens_out > 0


def test_weights_in_many_files_are_read_and_written(tmp_path: Path) -> None:
    base, expert = save(tmp_path / "base", 0), save(tmp_path / "expert", 1)
    config = MergeConfig(base=base, experts=(expert,), method=LinearConfig())
    merge_folders(config, tmp_path / "whole")
    merge_folders(config, tmp_path / "parts", file_bytes=20_000)
    assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 2
    again = MergeConfig(base=tmp_path / "parts", experts=(tmp_path / "parts",), method=LinearConfig())
    merge_folders(again, tmp_path / "again")
    expected = load_file(tmp_path / "expert" / "model.safetensors")
    for folder in ("whole", "again"):
        torch.testing.assert_close(load_file(tmp_path / folder / "model.safetensors"), expected)
    loaded = HFModel.from_config(ModelConfig(name=f"hf/{tmp_path / 'parts'}", device="cpu"))
    torch.testing.assert_close(loaded.module.state_dict()["model.norm.weight"], expected["model.norm.weight"])


def test_the_result_has_the_types_of_the_base(tmp_path: Path) -> None:
    base, expert = save(tmp_path / "base", 0), save(tmp_path / "expert", 1)
    model = HFModel.from_config(ModelConfig(name=f"hf/{base}", device="cpu", dtype="bfloat16"))
    model.save(tmp_path / "half")
    merge_folders(MergeConfig(base=tmp_path / "half", experts=(expert,)), tmp_path / "merged")
    weights = load_file(tmp_path / "merged" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("expert", "problem"),
    [
        (SMALL.model_copy(update={"feed_forward": 96}), "has the shape .* merge models of one architecture"),
        (SMALL.model_copy(update={"layers": 3}), "is in only one of .* merge models of one architecture"),
    ],
)
def test_other_architectures_are_refused(tmp_path: Path, expert: TinyConfig, problem: str) -> None:
    config = MergeConfig(base=save(tmp_path / "base", 0), experts=(save(tmp_path / "expert", 0, expert),))
    with pytest.raises(ConfigError, match=problem):
        merge_folders(config, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_other_tokenizers_are_refused(tmp_path: Path) -> None:
    expert = save(tmp_path / "expert", 0, corpus="something else altogether")
    config = MergeConfig(base=save(tmp_path / "base", 0), experts=(expert,))
    with pytest.raises(ConfigError, match="have different tokenizers"):
        merge_folders(config, tmp_path / "merged")


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    config = MergeConfig(base=tmp_path / "none", experts=(tmp_path,))
    with pytest.raises(ConfigError, match="there is no such folder") as caught:
        merge_folders(config, tmp_path / "merged")
    assert "\n" not in str(caught.value)


def test_the_verb_prints_the_name_of_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, expert = save(tmp_path / "base", 0), save(tmp_path / "expert", 1)
    merge_verb(base, [expert], tmp_path / "merged", "task-arithmetic", ["method.weights=[-1.0]"])
    assert capsys.readouterr().out == f"hf/{tmp_path / 'merged'}\n"
    before, learned, after = (
        load_file(folder / "model.safetensors")["model.norm.weight"]
        for folder in (base, expert, tmp_path / "merged")
    )
    torch.testing.assert_close(after, before - (learned - before))
    with pytest.raises(ConfigError, match="exists; choose another --out"):
        merge_verb(base, [expert], tmp_path / "merged")
