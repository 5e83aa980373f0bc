"""Rollouts and updates beside TRL's GRPOTrainer: samples per second, losses, memory at a large vocabulary.

    python -m benchmarks.updater [--repeats 9]
    python -m benchmarks.updater --gpu

Writes benchmarks/results/updater.json and the tables of docs/benchmarks.md. TRL runs in an environment of its
own, `.venv-peers-trl`, made at the first time; the two take their steps in turn. With --gpu: tokens per
second and model FLOP utilisation of a larger model on this machine's GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from benchmarks.flow import RECIPE, draw, tiny_policy
from benchmarks.tables import replace_section
from benchmarks.updater_gpu import measure_gpu
from benchmarks.updater_tables import gpu_sections, sections
from palaestra.core.chat import Message, TokenTrace
from palaestra.core.config import resolve
from palaestra.core.events import discard
from palaestra.datasets.families import family
from palaestra.models.config import ModelConfig
from palaestra.models.device_thread import thread_of
from palaestra.models.hf import HFModel
from palaestra.training.advantages.registry import AdvantageName, advantages
from palaestra.training.config import TrainConfig
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.policy import starting_policy
from palaestra.training.rollouts import conversation
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

RESULTS = Path(__file__).parent / "results" / "updater.json"
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers-trl"
GROUP, TASKS, MODULUS = 8, 16, 11
VOCABULARY = 152_000

Step = Callable[[], dict[str, float]]
Job = dict[str, Any]
"""What both sides read: prompts or rollouts, sizes, settings of the optimizer."""


class Case(NamedTuple):
    what: str
    warm: int
    """Steps of imitation, after which answers come to their own ends."""
    shown: int
    """Examples in the prompt."""


CASES = (
    Case("warm-started", warm=100, shown=0),
    Case("random weights", warm=0, shown=0),
    Case("random weights, three examples in the prompt", warm=0, shown=3),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--repeats", type=int, default=9, help="steps of each side, after one to warm up")
    options.add_argument("--gpu", action="store_true")
    options.add_argument("--update", type=Path, help=argparse.SUPPRESS)  # one measurement in its own process
    chosen = options.parse_args()
    if chosen.update:
        print(json.dumps(update(chosen.update)))
    elif chosen.gpu:
        on_gpu()
    else:
        beside_trl(chosen.repeats)


def on_gpu() -> None:
    if not torch.cuda.is_available():
        print("there is no GPU that torch can use on this machine", file=sys.stderr)
        raise SystemExit(2)
    measured = measure_gpu()
    RESULTS.with_name("updater-gpu.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    replace_section("updater-gpu", gpu_sections(measured))


def beside_trl(repeats: int) -> None:
    make_environment()
    measured = {
        "machine": {
            "cpu_count": os.cpu_count(),
            "platform": platform.platform(),
            "torch": torch.__version__,
            "load": os.getloadavg()[0],
        },
        "repeats": repeats,
        "steps": [measure_steps(case, repeats) for case in CASES],
        "losses": measure_losses(),
        "memory": measure_memory(),
    }
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    replace_section("updater", sections(measured))


def make_environment() -> None:
    if PEERS.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
    needed = Path(__file__).with_name("peers-trl.txt")
    install: list[str | Path] = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        ROOT / "constraints.txt",
        "-r",
        needed,
    ]
    subprocess.run([PEERS / "bin" / "python", *install], check=True)


def measure_steps(case: Case, repeats: int) -> dict[str, Any]:
    """Whole steps in turn, from prompts to new weights, with the recipe's policy and limits."""
    config = resolve(TrainConfig, RECIPE, [f"warm_start.steps={case.warm}"])
    shown = "".join(f"{task.prompt}\n{answer}\n\n" for task, answer in family("trip").examples(case.shown))
    prompts = [shown + task.prompt for task in family("trip").tasks(8 * TASKS, "train")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "policy"
        policy = asyncio.run(starting_policy(config, folder, discard))
        job = _write(folder, prompts=prompts, max_tokens=config.rollout.max_tokens)
        taken: dict[str, list[dict[str, float]]] = {"palaestra": [], "trl": []}
        with _trl_steps(folder) as trl:
            sides: dict[str, Step] = {"palaestra": Steps(policy, job), "trl": trl}
            for repeat in range(repeats + 1):
                for side, step in sides.items():
                    found = step()
                    if repeat:
                        taken[side].append(found)
    medians = {
        side: {name: statistics.median(one[name] for one in steps) for name in steps[0]}
        for side, steps in taken.items()
    }
    lengths = [len(policy.encode([Message(role="user", content=prompt)])) for prompt in prompts]
    return {
        "what": case.what,
        "prompt_tokens": statistics.mean(lengths),
        "samples": GROUP * TASKS,
        "group": GROUP,
        **medians,
    }


class Steps:
    """One step after another: rollouts of every group, and an update on them."""

    def __init__(self, policy: HFModel, job: Job) -> None:
        self._policy = policy
        self._max_tokens = job["max_tokens"]
        self._prompts = itertools.cycle(job["prompts"])
        self._updater = _updater(policy.module, job)

    def __call__(self) -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        chosen = [next(self._prompts) for _ in range(TASKS)]
        asked = [[Message(role="user", content=prompt)] for prompt in chosen for _ in range(GROUP)]
        completions = draw(self._policy, asked, self._max_tokens)
        rollout_seconds = time.perf_counter() - wall
        samples = [
            Sample(completion.trace, float(len(completion.text) % MODULUS), group=row // GROUP)
            for row, completion in enumerate(completions)
            if completion.trace
        ]
        thread_of(self._policy.module.device).submit(self._updater.update, samples).result()
        return {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "rollout_seconds": rollout_seconds,
            "tokens": sum(sample.generated for sample in samples),
        }


@contextmanager
def _trl_steps(folder: Path) -> Iterator[Step]:
    """TRL's steps, in a process that waits between two of them."""
    with subprocess.Popen(
        _trl("steps", folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told, asked = process.stdout, process.stdin
        told.readline()

        def step() -> dict[str, float]:
            print("step", file=asked, flush=True)
            return dict(json.loads(told.readline()))

        yield step
        asked.close()


def measure_losses() -> dict[str, Any]:
    """Two optimizer steps on the same rollouts, the second away from the old policy: what each side finds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "policy"
        policy = tiny_policy()
        policy.save(folder)
        tasks = family("trip").tasks(TASKS, "train")
        asked = [conversation(task, show_context=False) for task in tasks for _ in range(GROUP)]
        traces = [each.trace for each in draw(policy, asked, max_tokens=32) if each.trace]
        _write(folder, rollouts=_rollouts(traces), minibatches=2, learning_rate=0.5, max_gradient_norm=1e9)
        ours, theirs = update(folder), _trl_update(folder)
        start, own, other = (_weights(folder / part) for part in (".", "palaestra", "trl"))
    return {
        "palaestra": ours,
        "trl": theirs,
        "weights_moved": float((own - start).norm()),
        "weights_apart": float((own - other).norm()),
    }


def measure_memory() -> dict[str, Any]:
    """One optimizer step at a large vocabulary, each side in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "policy"
        architecture = Qwen3Config(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            tie_word_embeddings=True,
        )
        HFModel("large", Qwen3ForCausalLM(architecture), tiny_policy().tokenizer).save(folder)
        traces = [_random_trace(seed, prompt=64, answer=128) for seed in range(4 * GROUP)]
        _write(folder, rollouts=_rollouts(traces), minibatches=1, learning_rate=1e-3, max_gradient_norm=1e9)
        command: list[str | Path] = [sys.executable, "-m", "benchmarks.updater", "--update", folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        ours, theirs = json.loads(done.stdout), _trl_update(folder)
    return {"tokens": len(traces) * 128, "vocabulary": VOCABULARY, "palaestra": ours, "trl": theirs}


def update(folder: Path) -> dict[str, float]:
    """Palaestra's updater on the rollouts of a job, in the same form as `trl_peer` tells it."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    policy = HFModel.from_config(ModelConfig(name=f"hf/{folder}", device="cpu"))
    samples = [_sample(row) for row in job["rollouts"]]
    updater = _updater(policy.module, job, advantage="reward", name="sgd", betas=(0.0, 0.0))
    before = _peak_bytes()
    metrics = updater.update(samples, job["minibatches"])
    peak = _peak_bytes()
    policy.module.save_pretrained(folder / "palaestra")
    return {
        "loss": metrics["loss"],
        "gradient_norm": metrics["gradient_norm"],
        "before_bytes": before,
        "peak_bytes": peak,
    }


def _trl_update(folder: Path) -> dict[str, float]:
    done = subprocess.run(_trl("update", folder), check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _trl(verb: str, folder: Path) -> list[str | Path]:
    return [PEERS / "bin" / "python", Path(__file__).with_name("trl_peer.py"), verb, folder]


def _updater(
    module: PreTrainedModel, job: Job, advantage: AdvantageName = "group-standardised", **settings: Any
) -> Updater:
    config = OptimizerConfig(
        learning_rate=job["learning_rate"],
        max_gradient_norm=job["max_gradient_norm"],
        weight_decay=0.0,
        **settings,
    )
    return Updater(module, GRPO(GRPOConfig(kl=0, advantage=advantage)), config, steps=10_000)


def _write(folder: Path, **job: Any) -> Job:
    """What both sides are to do, beside the policy."""
    whole = {
        "prompts": ["plan a day"] * TASKS,
        "group_size": GROUP,
        "tasks": TASKS,
        "max_tokens": 64,
        "modulus": MODULUS,
        "learning_rate": 1e-6,
        "max_gradient_norm": 1.0,
        **job,
    }
    (folder / "job.json").write_text(json.dumps(whole), encoding="utf-8")
    return whole


def _rollouts(traces: Sequence[TokenTrace]) -> list[dict[str, Any]]:
    """Groups of answers with the advantages of some rewards; both sides are given the same numbers."""
    reward_N = torch.tensor([float(sum(trace.ids) % MODULUS) for trace in traces])
    group_N = torch.arange(len(traces)) // GROUP
    advantage_N = advantages("group-standardised", reward_N, group_N, group_N)
    starts = [trace.mask.index(True) for trace in traces]
    return [
        {"prompt": trace.ids[:start], "completion": trace.ids[start:], "advantage": advantage}
        for trace, start, advantage in zip(traces, starts, advantage_N.tolist(), strict=True)
    ]


def _sample(row: dict[str, Any]) -> Sample:
    prompt, completion = row["prompt"], row["completion"]
    trace = TokenTrace(
        ids=(*prompt, *completion),
        log_probs=(0.0,) * (len(prompt) + len(completion)),
        mask=(*[False] * len(prompt), *[True] * len(completion)),
    )
    return Sample(trace, row["advantage"], sampled=False)


def _random_trace(row: int, prompt: int, answer: int) -> TokenTrace:
    """Random tokens, after the same prompt for all of a group."""
    of_group, own = (torch.Generator().manual_seed(seed) for seed in (row // GROUP, 1000 + row))
    ids = [
        *torch.randint(VOCABULARY, (prompt,), generator=of_group).tolist(),
        *torch.randint(VOCABULARY, (answer,), generator=own).tolist(),
    ]
    length = prompt + answer
    return TokenTrace(ids=tuple(ids), log_probs=(0.0,) * length, mask=(False,) * prompt + (True,) * answer)


def _weights(folder: Path) -> torch.Tensor:
    module = Qwen3ForCausalLM.from_pretrained(folder)
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def _peak_bytes() -> int:
    """Of this process alone: what `getrusage` tells begins with the memory of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
