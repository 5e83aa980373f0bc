"""Everything that a training run needs to go on exactly where it was.

A checkpoint is a folder: the policy in the Hugging Face layout (so `hf/<folder>` runs it; adapters are merged
into it) and the trainer's state. Random numbers and the data position need none of their own: both follow
from the seed and the step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from palaestra.core.errors import TrainingError
from palaestra.core.events import CheckpointSaved, Sink
from palaestra.models.device_thread import thread_of
from palaestra.models.hf import HFModel
from palaestra.store.run_store import RunStore
from palaestra.training.adapters import adapted_state, is_adapted, merged
from palaestra.training.updater import Updater

_STATE = "trainer.pt"
DAMAGED = (SafetensorError, UnpicklingError, EOFError)
"""What loading a damaged file may raise, beside the usual."""


class Checkpoints:
    """The latest checkpoints of one run, and the best one."""

    def __init__(self, store: RunStore, keep: int, emit: Sink) -> None:
        self._store = store
        self._keep = keep
        self._emit = emit
        self._saved: int | None = None

    def save(self, step: int, policy: HFModel, updater: Updater) -> None:
        """Write the checkpoint that follows `step` updates, unless it was just written, then remove the
        oldest ones but for the best."""
        if step == self._saved:
            return
        folder = self._folder(step)
        save_checkpoint(folder, policy, updater)
        self._saved = step
        self._emit(CheckpointSaved(step=step, path=str(folder.relative_to(self._store.folder))))
        self._prune()

    def mark_best(self, step: int) -> None:
        """Point `checkpoints/best` to the checkpoint that was saved for this step; the one that was best
        before is kept no longer than others."""
        new = self._best.with_name(".best")
        new.unlink(missing_ok=True)
        new.symlink_to(self._folder(step).name, target_is_directory=True)
        os.replace(new, self._best)
        self._prune()

    def restore(self, policy: HFModel, updater: Updater) -> int:
        """Load the latest checkpoint and return its step; 0 when there is none yet."""
        saved = self._store.last(CheckpointSaved)
        if saved is None:
            return 0
        folder = self._store.folder / saved.path
        thread_of(policy.module.device).submit(load_checkpoint, folder, policy, updater).result()
        self._saved = saved.step
        return saved.step

    def _prune(self) -> None:
        best = self._best.resolve()
        for old in sorted(self._best.parent.glob("step-??????"))[: -self._keep]:
            if old.resolve() != best:
                shutil.rmtree(old)

    @property
    def _best(self) -> Path:
        return self._store.folder / "checkpoints" / "best"

    def _folder(self, step: int) -> Path:
        return self._store.folder / "checkpoints" / f"step-{step:06d}"


def save_checkpoint(folder: Path, policy: HFModel, updater: Updater) -> None:
    """Write a checkpoint; `folder` exists either whole or not at all."""
    partial = folder.with_suffix(".partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    save_policy(partial, policy)
    torch.save(updater.state_dict() | {"adapters": adapted_state(policy.module)}, partial / _STATE)
    os.replace(partial, folder)


def save_policy(folder: Path, policy: HFModel) -> None:
    """Write the policy alone, with adapters merged into its weights."""
    is_whole = not is_adapted(policy.module)
    whole = policy if is_whole else HFModel(policy.name, merged(policy.module), policy.tokenizer)
    whole.save(folder)


def load_checkpoint(folder: Path, policy: HFModel, updater: Updater) -> None:
    """Put weights and trainer back into the given objects, bit for bit.

    Raises:
        TrainingError: the folder is no checkpoint of this policy and optimizer.
    """
    try:
        state = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
        if is_adapted(policy.module):
            _load_adapters(policy.module, state["adapters"])
        else:
            whole = AutoModelForCausalLM.from_pretrained(folder, dtype=policy.module.dtype)
            policy.module.load_state_dict(whole.state_dict())
        updater.load_state_dict(state)
    except (*DAMAGED, OSError, RuntimeError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"cannot resume from {folder}: {reason}; start the training anew") from error


def _load_adapters(module: PreTrainedModel, state: Mapping[str, Tensor]) -> None:
    missing = adapted_state(module).keys() ^ state.keys()
    if missing:
        raise ValueError(f"its adapters are others ({min(missing)})")
    module.load_state_dict(state, strict=False)
