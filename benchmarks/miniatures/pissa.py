"""LoRA beside PiSSA under reinforcement learning, at a usual and at a high learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.substitution import DESCRIPTION, Substitution, substitution
from benchmarks.miniatures.tiny_policy import adam, copied
from palaestra.training.adapters import AdapterConfig, add_adapter
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.updater import Updater

RANK = 8
USUAL, HIGH = 3e-3, 1e-2
"""The high one is the highest of 0.001, 0.003, 0.01 and 0.03 at which LoRA still learnt, on another seed."""
MARGIN = 0.05


def measure(seed: int) -> Mapping[str, float]:
    task = substitution(seed)
    figures = {
        f"{kind} {learning_rate}": _accuracy(task, kind, learning_rate, seed)
        for learning_rate in (USUAL, HIGH)
        for kind in ("lora", "pissa")
    }
    return {"start": task.accuracy(task.start, seed), **figures}


def _accuracy(task: Substitution, kind: Literal["lora", "pissa"], learning_rate: float, seed: int) -> float:
    policy = copied(task.start)
    add_adapter(policy.module, AdapterConfig(kind=kind, rank=RANK), seed)
    updater = Updater(policy.module, GRPO(GRPOConfig(kl=0)), adam(learning_rate), steps=1)
    return task.accuracy_after(policy, updater, seed)


MINIATURE = Miniature(
    name="pissa",
    claim="In reinforcement learning PiSSA gains nothing over LoRA, and collapses at a high learning rate.",
    source="The Path Not Taken, arXiv 2511.08567; LoRA, arXiv 2106.09685; PiSSA, arXiv 2404.02948",
    setting=(
        f"{DESCRIPTION} Adapters of rank {RANK}, alpha {RANK}, on all linear layers; Adam. {HIGH} is the "
        "highest of 0.001, 0.003, 0.01 and 0.03 at which LoRA still learnt, on a seed that is not among "
        "these."
    ),
    comparisons=(
        Comparison(f"accuracy, learning rate {HIGH}", f"pissa {HIGH}", f"lora {HIGH}", "below"),
        Comparison(f"accuracy, learning rate {USUAL}", f"pissa {USUAL}", f"lora {USUAL}", "equal", MARGIN),
    ),
    measure=measure,
    remark=(
        "No gain, as the paper says. At 0.01 PiSSA ends lower, and in two seeds of ten not above where it "
        "began; LoRA learns in all. On the seed that chose the rates, at 0.03, PiSSA fell to an accuracy of "
        "0.00 and LoRA to 0.10, from 0.17 before."
    ),
)
