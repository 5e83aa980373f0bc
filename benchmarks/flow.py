"""The whole flow: its speed beside plain implementations of the same work, and what training wins.

    python -m benchmarks.flow [--seeds 3]

Writes benchmarks/results/flow.json and the tables of docs/benchmarks.md. Every ratio is measured in one
process, the two sides in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import GenerationConfig

from benchmarks.tables import write_tables
from palaestra import configs
from palaestra.arena.group import Group
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.config import resolve
from palaestra.core.events import UpdateDone
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.families import family
from palaestra.models.hf import HFModel
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.pipeline import train
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

RECIPE = Path(configs.__file__).with_name("trip-arenarl.yaml")
RESULTS = Path(__file__).parent / "results" / "flow.json"
ROWS = 128
REPEATS = 9


class SlowJudge:
    """Takes `seconds` for each answer and prefers the longer one."""

    def __init__(self, seconds: float) -> None:
        self.name = "slow"
        self._seconds = seconds

    async def compare(
        self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0
    ) -> Verdict | NoVerdict:
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return Verdict.from_scores(len(first.answer) % 11, len(second.answer) % 11)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--seeds", type=int, default=3, help="training runs of the recipe")
    seeds = options.parse_args().seeds
    policy = tiny_policy()
    measured = {
        "machine": {
            "cpu_count": os.cpu_count(),
            "platform": platform.platform(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
        "start": measure_start(),
        "rollouts": measure_rollouts(policy),
        "updates": measure_updates(policy),
        "tournament": [measure_tournament(seconds) for seconds in (0.0, 0.02)],
        "training": [measure_training(seed) for seed in range(seeds)],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    write_tables(measured)


def tiny_policy() -> TinyModel:
    examples = family("trip").examples(1000)
    corpus = [text for task, answer in examples for text in (task.prompt, answer)]
    return TinyModel.build("tiny/trip", corpus, TinyConfig(), device="cpu")


def measure_start() -> dict[str, float]:
    """Seconds of a whole process, `palaestra --help`, and of importing the package."""
    return {
        "help_seconds": median_seconds(
            lambda: subprocess.run(
                [sys.executable, "-m", "palaestra", "--help"], stdout=subprocess.DEVNULL, check=True
            )
        ),
        "import_seconds": median_seconds(
            lambda: subprocess.run([sys.executable, "-c", "import palaestra"], check=True)
        ),
        "python_seconds": median_seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)),
    }


def measure_rollouts(policy: TinyModel) -> dict[str, float]:
    """Generated tokens per second: `ROWS` concurrent calls, and one batch in transformers' own `generate`."""
    prompts = [[Message(role="user", content=task.prompt)] for task in family("trip").tasks(ROWS, "train")]

    def ours() -> int:
        return sum(completion.usage.tokens_out for completion in draw(policy, prompts, max_tokens=48))

    encoded = [policy.encode(prompt) for prompt in prompts]
    width = max(map(len, encoded))
    padding = policy.tokenizer.pad_token_id
    ids = torch.tensor(
        [[padding] * (width - len(each)) + each for each in encoded], device=policy.module.device
    )
    settings = GenerationConfig(
        do_sample=True,
        max_new_tokens=48,
        top_k=0,
        eos_token_id=policy.tokenizer.eos_token_id,
        pad_token_id=padding,
    )

    def plain() -> int:
        with torch.inference_mode():
            made = policy.module.generate(
                ids, attention_mask=(ids != padding).long(), generation_config=settings
            )
        return int((made[:, width:] != padding).sum())

    ours_rate, plain_rate = alternate(ours, plain)
    return {
        "tokens_per_second": ours_rate,
        "plain_tokens_per_second": plain_rate,
        "ratio": ours_rate / plain_rate,
    }


def measure_updates(policy: TinyModel) -> dict[str, float]:
    """Samples per second of one ArenaRL update, and of a PPO step written out plainly with all logits."""
    prompts = [[Message(role="user", content=task.prompt)] for task in family("trip").tasks(ROWS, "train")]
    samples = [
        Sample(completion.trace, 1.0 if row % 2 else -1.0)
        for row, completion in enumerate(draw(policy, prompts, max_tokens=24))
        if completion.trace
    ]
    settings = OptimizerConfig(learning_rate=1e-6)
    updater = Updater(policy.module, ArenaRL(ArenaRLConfig()), settings, steps=1000)

    def ours() -> int:
        updater.update(samples)
        return len(samples)

    width = max(len(sample.trace.ids) for sample in samples)
    ids = torch.zeros(len(samples), width, dtype=torch.long)
    mask = torch.zeros(len(samples), width)
    for row, (trace, *_) in enumerate(samples):
        ids[row, : len(trace.ids)] = torch.tensor(trace.ids)
        mask[row, : len(trace.ids)] = torch.tensor(trace.mask).float()
    advantages = torch.tensor([[sample.reward] for sample in samples])
    optimizer = torch.optim.AdamW(policy.module.parameters(), lr=1e-6)

    def log_probs() -> torch.Tensor:
        logits = policy.module(input_ids=ids).logits[:, :-1]
        chosen: torch.Tensor = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        return chosen

    def plain() -> int:
        with torch.no_grad():
            old = log_probs()
        ratio = (log_probs() - old).exp()
        loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.28) * advantages)
        optimizer.zero_grad()
        ((loss * mask[:, 1:]).sum() / mask.sum()).backward()
        optimizer.step()
        return len(samples)

    ours_rate, plain_rate = alternate(ours, plain)
    return {
        "samples_per_second": ours_rate,
        "plain_samples_per_second": plain_rate,
        "ratio": ours_rate / plain_rate,
    }


def measure_tournament(
    latency: float, groups: int = 32, contestants: int = 8, concurrency: int = 64
) -> dict[str, float]:
    """Seeded single elimination in many groups at once, every verdict written to a run store as it arrives.

    The judge's own time is what the calls take at this concurrency if nothing else took any; rounds wait for
    each other within a group, not between groups.
    """
    tasks = family("trip").tasks(groups, "train")
    entered = [
        Group.of(
            task.id, task, [contestant(task, index) for index in range(contestants)], "single-elimination", 0
        )
        for task in tasks
    ]
    matches = groups * 2 * (contestants - 1)
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.create(Path(folder), "judge", resolve(TrainConfig, RECIPE))
        tournament = Tournament(
            SlowJudge(latency),
            TournamentConfig(),
            concurrency=concurrency,
            meter=Meter(Budget(turns=None)),
            emit=store.write,
        )
        started = time.perf_counter()
        asyncio.run(tournament.play(entered))
        seconds = time.perf_counter() - started
        store.close()
    judge = latency * 2 * matches / concurrency
    return {
        "judge_latency_ms": 1000 * latency,
        "matches": matches,
        "seconds": seconds,
        "judge_seconds": judge,
        "overhead_ms_per_match": 1000 * (seconds - judge) / matches,
    }


def measure_training(seed: int) -> dict[str, float]:
    """The recipe, from nothing to its evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        config = resolve(TrainConfig, RECIPE, [f"seed={seed}"])
        store = RunStore.create(Path(folder), "train", config)
        started = time.perf_counter()
        asyncio.run(train(config, store, store.write))
        seconds = time.perf_counter() - started
        evaluation = store.last(UpdateDone)
        store.close()
    assert evaluation is not None
    return {"seed": seed, "seconds": seconds, **evaluation.metrics}


def contestant(task: Task, index: int) -> Trajectory:
    return Trajectory(
        id=f"{task.id}/{index}",
        task_id=task.id,
        agent="benchmark",
        status="finished",
        answer="x" * (7 * index % 11),
    )


def draw(policy: HFModel, prompts: list[list[Message]], max_tokens: int) -> list[Completion]:
    async def together() -> list[Completion]:
        calls = (
            policy.generate(prompt, Sampling(max_tokens=max_tokens, seed=row))
            for row, prompt in enumerate(prompts)
        )
        return await asyncio.gather(*calls)

    return asyncio.run(together())


def alternate(one: Callable[[], int], other: Callable[[], int]) -> tuple[float, float]:
    """Median units per second of each, the two run in turn after one warm-up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS + 1):
        for work, measured in zip((one, other), rates, strict=True):
            started = time.perf_counter()
            units = work()
            if repeat:
                measured.append(units / (time.perf_counter() - started))
    return statistics.median(rates[0]), statistics.median(rates[1])


def median_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
