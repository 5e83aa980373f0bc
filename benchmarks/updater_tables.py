"""From measurements of the updater to the tables of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.tables import table


def sections(measured: Mapping[str, Any]) -> Iterator[str]:
    machine = measured["machine"]
    yield (
        f"Machine: {machine['cpu_count']} CPU cores, {machine['platform']}, torch {machine['torch']}; "
        f"medians of {measured['repeats']} steps of each side in turn, at a load of {machine['load']:.1f}."
    )
    yield table(
        (
            "a step of 128 samples",
            "Palaestra, samples/s",
            "TRL, samples/s",
            "ratio",
            "by CPU time",
            "tokens to read, ratio",
        ),
        [_step(row) for row in measured["steps"]],
    )
    losses, memory = measured["losses"], measured["memory"]
    yield table(
        ("the same rollouts, two minibatches", "Palaestra", "TRL", "difference"),
        [
            _both(losses, "loss", "loss"),
            _both(losses, "gradient norm", "gradient_norm"),
            (
                "weights: distance from each other, by the distance moved",
                "",
                "",
                f"{losses['weights_apart'] / losses['weights_moved']:.1e}",
            ),
        ],
    )
    yield table(
        (
            f"an update on {memory['tokens']:,} tokens at a vocabulary of {memory['vocabulary']:,}",
            "Palaestra",
            "TRL",
        ),
        [
            ("peak memory of the process, MB", *(_megabytes(memory, "peak_bytes"))),
            ("of these before the update, MB", *(_megabytes(memory, "before_bytes"))),
        ],
    )


def gpu_sections(measured: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{measured['device']}, torch {measured['torch']}; {measured['parameters'] / 1e9:.2f} billion "
        f"parameters in bf16; peak memory {measured['peak_bytes'] / 1e9:.1f} GB."
    )
    yield table(
        ("", "generated tokens/s", "TFLOP/s", "model FLOP utilisation"),
        [
            (
                what,
                f"{row['tokens_per_second']:,.0f}",
                f"{row['flops'] / 1e12:.1f}",
                "unknown peak" if row["utilisation"] is None else f"{row['utilisation']:.1%}",
            )
            for what, row in (("rollout", measured["rollout"]), ("update", measured["update"]))
        ],
    )


def _step(row: Mapping[str, Any]) -> tuple[str, ...]:
    ours, theirs = row["palaestra"], row["trl"]
    own, other = (side["tokens"] / row["samples"] for side in (ours, theirs))
    prompt = row["prompt_tokens"]
    return (
        f"{row['what']}; prompts of {prompt:.0f} tokens, answers of {own:.0f} and {other:.0f}",
        f"{row['samples'] / ours['seconds']:.1f}",
        f"{row['samples'] / theirs['seconds']:.1f}",
        f"{theirs['seconds'] / ours['seconds']:.2f}",
        f"{theirs['cpu_seconds'] / ours['cpu_seconds']:.2f}",
        f"{(prompt + other) / (prompt / row['group'] + own):.2f}",
    )


def _both(losses: Mapping[str, Any], what: str, name: str) -> tuple[str, ...]:
    ours, theirs = losses["palaestra"][name], losses["trl"][name]
    return what, f"{ours:.8f}", f"{theirs:.8f}", f"{abs(ours - theirs):.1e}"


def _megabytes(memory: Mapping[str, Any], name: str) -> tuple[str, str]:
    return f"{memory['palaestra'][name] / 1e6:,.0f}", f"{memory['trl'][name] / 1e6:,.0f}"
