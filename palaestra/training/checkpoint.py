"""Everything that a training run needs to go on exactly where it was.

A checkpoint is a folder: the policy in the Hugging Face layout (so `hf/<folder>` runs it) and the trainer's
state. Random numbers and the data position need none of their own: both follow from the seed and the step.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from palaestra.core.errors import TrainingError
from palaestra.core.events import CheckpointSaved, Sink
from palaestra.models.hf import HFModel
from palaestra.store.run_store import RunStore
from palaestra.training.updater import Updater

_STATE = "trainer.pt"
DAMAGED = (SafetensorError, UnpicklingError, EOFError)
"""What loading a damaged file may raise, beside the usual."""


class Checkpoints:
    """The latest checkpoints of one run."""

    def __init__(self, store: RunStore, keep: int, emit: Sink) -> None:
        self._store = store
        self._keep = keep
        self._emit = emit

    def save(self, step: int, policy: HFModel, updater: Updater) -> None:
        """Write the checkpoint that follows `step` updates, then remove the oldest ones."""
        folder = self._store.folder / "checkpoints" / f"step-{step:06d}"
        save_checkpoint(folder, policy, updater)
        self._emit(CheckpointSaved(step=step, path=str(folder.relative_to(self._store.folder))))
        for old in sorted(folder.parent.glob("step-??????"))[: -self._keep]:
            shutil.rmtree(old)

    def restore(self, policy: HFModel, updater: Updater) -> int:
        """Load the latest checkpoint and return its step; 0 when there is none yet."""
        saved = self._store.last(CheckpointSaved)
        if saved is None:
            return 0
        load_checkpoint(self._store.folder / saved.path, policy, updater)
        return saved.step


def save_checkpoint(folder: Path, policy: HFModel, updater: Updater) -> None:
    """Write a checkpoint; `folder` exists either whole or not at all."""
    partial = folder.with_suffix(".partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    policy.save(partial)
    torch.save(updater.state_dict(), partial / _STATE)
    os.replace(partial, folder)


def load_checkpoint(folder: Path, policy: HFModel, updater: Updater) -> None:
    """Put weights and trainer back into the given objects, bit for bit.

    Raises:
        TrainingError: the folder is no checkpoint of this policy and optimizer.
    """
    try:
        weights = AutoModelForCausalLM.from_pretrained(folder, dtype=policy.module.dtype).state_dict()
        policy.module.load_state_dict(weights)
        state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        updater.load_state_dict(state)
    except (*DAMAGED, OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"cannot resume from {folder}: {reason}; start the training anew") from error
