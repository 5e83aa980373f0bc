"""What the processes of `python -m benchmarks.miniatures` run; they cannot import it from `__main__`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module

import torch

from benchmarks.miniatures.miniature import Miniature


def miniature(name: str) -> Miniature:
    found: Miniature = import_module(f"benchmarks.miniatures.{name}").MINIATURE
    return found


def one_thread() -> None:
    torch.set_num_threads(1)


def measure(name: str, seed: int) -> tuple[Mapping[str, float], float]:
    """The figures of a seed, and the processor time that they took."""
    started = time.process_time()
    figures = miniature(name).measure(seed)
    return figures, time.process_time() - started
