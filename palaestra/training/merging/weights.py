"""The weights in a Hugging Face folder, one tensor at a time, whether in one file or in many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from palaestra.core.errors import ConfigError

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FILE_BYTES = 2 << 30
"""A file of weights is closed when it has become so large."""


class WeightFolder:
    """Opens every file of weights without reading it; a tensor is read when it is asked for.

    Raises:
        ConfigError: there are no safetensors weights in the folder, or they are not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = ExitStack()
        self._readers: dict[str, Any] = {}
        try:
            for file in _weight_files(folder):
                reader = self._files.enter_context(safe_open(file, framework="pt"))
                self._readers.update(dict.fromkeys(reader.keys(), reader))
        except (OSError, SafetensorError) as error:
            self._files.close()
            raise ConfigError(
                f"cannot read the weights in {folder}: {error}; copy the folder again"
            ) from error

    @property
    def names(self) -> list[str]:
        return sorted(self._readers)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._readers[name].get_slice(name).get_shape())

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self._readers[name].get_tensor(name)
        return tensor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()


def _weight_files(folder: Path) -> list[Path]:
    if (folder / FILE).is_file():
        return [folder / FILE]
    if (folder / INDEX).is_file():
        places = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        return [folder / file for file in sorted(set(places.values()))]
    raise ConfigError(f"{folder} holds neither {FILE} nor {INDEX}; give a folder of a saved model")


def write_weights(folder: Path, tensors: Iterable[tuple[str, Tensor]], file_bytes: int = FILE_BYTES) -> None:
    """Write tensors as they come, in as many files as that takes; what one file takes is held in memory."""
    parts: list[list[str]] = []
    total = 0
    for part in _parts(tensors, file_bytes):
        save_file(part, folder / f"part-{len(parts)}", metadata={"format": "pt"})
        parts.append(list(part))
        total += sum(tensor.nbytes for tensor in part.values())
    places = {}
    for number, names in enumerate(parts):
        file = FILE if len(parts) == 1 else f"model-{number + 1:05}-of-{len(parts):05}.safetensors"
        (folder / f"part-{number}").rename(folder / file)
        places.update(dict.fromkeys(names, file))
    if len(parts) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")


def _parts(tensors: Iterable[tuple[str, Tensor]], file_bytes: int) -> Iterator[dict[str, Tensor]]:
    part: dict[str, Tensor] = {}
    for name, tensor in tensors:
        part[name] = tensor.contiguous()
        if sum(each.nbytes for each in part.values()) >= file_bytes:
            yield part
            part = {}
    if part:
        yield part
