"""Merging saved models, tensor by tensor, so that none of them is ever held whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from transformers import AutoTokenizer

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.training.merging.base import Merge
from palaestra.training.merging.registry import AnyMergeConfig, merge_method
from palaestra.training.merging.sce_fuseai import SCEFuseAIConfig
from palaestra.training.merging.weights import FILE_BYTES, WeightFolder, write_weights

WEIGHTS = ("*.safetensors", "*.index.json", "*.bin", "*.pt", "*.pth", "*.gguf")
"""Files of the base that are not carried over."""


class MergeConfig(Record):
    base: Path
    """Folder of the model that the experts were trained from; the result has its tokenizer and its types."""
    experts: tuple[Path, ...] = Field(min_length=1)
    """Folders of models of the same architecture, with the same vocabulary."""
    method: AnyMergeConfig = SCEFuseAIConfig()
    """A name, or its settings."""


def merge_folders(config: MergeConfig, out: Path, file_bytes: int = FILE_BYTES) -> None:
    """Write the merged model to `out` in the Hugging Face layout.

    Raises:
        ConfigError: the models do not go together, one cannot be read, or `out` exists.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; choose another --out")
    _check_vocabularies(config)
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with ExitStack() as opened:
        base, *experts = [
            opened.enter_context(WeightFolder(folder)) for folder in (config.base, *config.experts)
        ]
        for expert in experts:
            _check_tensors(base, expert)
        shutil.copytree(config.base, partial, ignore=shutil.ignore_patterns(*WEIGHTS))
        write_weights(partial, merged(base, experts, merge_method(config.method)), file_bytes)
    partial.rename(out)


def merged(
    base: WeightFolder, experts: Sequence[WeightFolder], method: Merge
) -> Iterator[tuple[str, Tensor]]:
    """Each tensor of the merged model; those that are no floating-point numbers are the base's."""
    for name in base.names:
        base_S = base.read(name)
        if base_S.is_floating_point():
            experts_JS = torch.stack([expert.read(name).float() for expert in experts])
            base_S = method(base_S.float(), experts_JS).to(base_S.dtype)
        yield name, base_S


def _check_tensors(base: WeightFolder, expert: WeightFolder) -> None:
    if lone := sorted(set(base.names) ^ set(expert.names)):
        raise ConfigError(
            f"{lone[0]} is in only one of {base.folder} and {expert.folder}; merge models of one architecture"
        )
    for name in base.names:
        if base.shape(name) != expert.shape(name):
            raise ConfigError(
                f"{name} has the shape {base.shape(name)} in {base.folder} and {expert.shape(name)} in "
                f"{expert.folder}; merge models of one architecture"
            )


def _check_vocabularies(config: MergeConfig) -> None:
    base = _vocabulary(config.base)
    for expert in config.experts:
        different = set(base.items()) ^ set(_vocabulary(expert).items())
        if different:
            token = min(token for token, _ in different)
            raise ConfigError(
                f"{config.base} and {expert} have different tokenizers (the token {token!r}, for one); "
                "merge models with one vocabulary"
            )


def _vocabulary(folder: Path) -> dict[str, int]:
    try:
        if not folder.is_dir():
            raise OSError("there is no such folder")
        vocabulary: dict[str, int] = AutoTokenizer.from_pretrained(folder).get_vocab()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"cannot read the model in {folder}: {reason}; give the folder of a saved model"
        ) from error
    return vocabulary
