"""How a run ends there. What is sent is tested with whole runs."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from palaestra.core.events import discard
from palaestra.training.weights_and_biases import mirrored


def records(file: Path) -> Iterator[Any]:
    """Those of an offline run: a header of 7 bytes, then checksum, length, type and content of each."""
    written = file.read_bytes()
    place = 7
    while place < len(written):
        _, length, _ = struct.unpack_from("<IHB", written, place)
        yield wandb_internal_pb2.Record.FromString(  # type: ignore[attr-defined] # made at run time
            written[place + 7 : place + 7 + length]
        )
        place += 7 + length


@pytest.mark.parametrize("fails", [False, True])
def test_a_run_that_failed_has_failed_there_too(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text("steps: 1\n", encoding="utf-8")

    def train() -> None:
        with mirrored(folder, discard):
            if fails:
                raise KeyError("of the training")

    if fails:
        with pytest.raises(KeyError):
            train()
    else:
        train()
    (file,) = (folder / "wandb").glob("offline-run-*/*.wandb")
    assert [each.exit.exit_code for each in records(file) if each.HasField("exit")] == [int(fails)]
