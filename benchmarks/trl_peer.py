"""TRL's GRPOTrainer doing what benchmarks/updater.py asks for; runs in TRL's environment, without Palaestra.

    python trl_peer.py steps <folder>    one step for each line on standard input, told as one line of JSON
    python trl_peer.py update <folder>   losses of given rollouts, and the memory that it took

`<folder>` holds a policy, and `job.json` with what is to be done.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


def main() -> None:
    verb, folder = sys.argv[1], Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    told = sys.stdout
    sys.stdout = sys.stderr  # the trainer prints, too
    for line in {"steps": steps, "update": update}[verb](folder, job):
        print(json.dumps(line), file=told, flush=True)


class OnDemand(TrainerCallback):
    """Lets the trainer take a step whenever a line is read, and tells what it took."""

    def __init__(self, told: Any) -> None:
        self._told = told
        self.tokens = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not sys.stdin.readline():
            raise SystemExit
        self._began = time.perf_counter(), time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wall, cpu = self._began
        seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
        line = {"seconds": seconds, "cpu_seconds": cpu_seconds, "tokens": self.tokens}
        print(json.dumps(line), file=self._told, flush=True)


def steps(folder: Path, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rollouts and updates, from prompts to new weights."""
    on_demand = OnDemand(sys.__stdout__)

    def reward(completions: Any, completion_ids: Any, **_: Any) -> list[float]:
        on_demand.tokens = sum(map(len, completion_ids))
        return [float(len(completion[0]["content"]) % job["modulus"]) for completion in completions]

    trainer = _trainer(folder, job, reward, on_demand)
    yield {"threads": torch.get_num_threads()}
    trainer.train()


def update(folder: Path, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Optimizer steps on given rollouts, one for each minibatch, with the trainer's own loss."""
    trainer = _trainer(folder, job, lambda completions, **_: [0.0] * len(completions))
    trainer.current_gradient_accumulation_steps = 1
    model = trainer.model.train()
    before = _peak_bytes()
    inputs = _inputs(job, trainer.processing_class.pad_token_id)
    size = len(job["rollouts"]) // job["minibatches"]
    if job["minibatches"] > 1:
        inputs["old_per_token_logps"] = _log_probs(trainer, model, inputs)
    optimizer = torch.optim.SGD(model.parameters(), lr=job["learning_rate"])
    losses, norms = [], []
    for start in range(0, len(job["rollouts"]), size):
        part = {name: value[start : start + size] for name, value in inputs.items()}
        loss = trainer._compute_loss(model, part)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), job["max_gradient_norm"])))
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder / "trl")
    yield {
        "loss": sum(losses) / len(losses),
        "gradient_norm": sum(norms) / len(norms),
        "before_bytes": before,
        "peak_bytes": _peak_bytes(),
    }


def _trainer(folder: Path, job: dict[str, Any], reward: Any, *callbacks: TrainerCallback) -> GRPOTrainer:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [{"prompt": [{"role": "user", "content": prompt}]} for prompt in job["prompts"]]
    arguments = GRPOConfig(
        output_dir=str(folder / "trainer"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        beta=0.0,
        epsilon=0.2,
        loss_type="grpo",
        scale_rewards="group",
        temperature=1.0,
        num_generations=job["group_size"],
        per_device_train_batch_size=job["group_size"] * job["tasks"],
        max_completion_length=job["max_tokens"],
        max_steps=10_000,
        learning_rate=job["learning_rate"],
        max_grad_norm=job["max_gradient_norm"],
        weight_decay=0.0,
        lr_scheduler_type="constant",
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(prompts),
        processing_class=AutoTokenizer.from_pretrained(folder),
        callbacks=list(callbacks),
    )
    return trainer


def _inputs(job: dict[str, Any], padding: int) -> dict[str, torch.Tensor]:
    """The rollouts as the trainer pads them: prompts on the left, completions on the right."""
    prompts = [row["prompt"] for row in job["rollouts"]]
    completions = [row["completion"] for row in job["rollouts"]]
    wide, long = max(map(len, prompts)), max(map(len, completions))
    return {
        "prompt_ids": torch.tensor([[padding] * (wide - len(each)) + each for each in prompts]),
        "prompt_mask": torch.tensor([[0] * (wide - len(each)) + [1] * len(each) for each in prompts]),
        "completion_ids": torch.tensor([each + [padding] * (long - len(each)) for each in completions]),
        "completion_mask": torch.tensor([[1] * len(each) + [0] * (long - len(each)) for each in completions]),
        "advantages": torch.tensor([row["advantage"] for row in job["rollouts"]]),
    }


def _log_probs(trainer: GRPOTrainer, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    attention = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    with torch.no_grad():
        found: torch.Tensor = trainer._get_per_token_logps_and_entropies(
            model, ids, attention, inputs["completion_ids"].shape[1]
        )[0]
    return found


def _peak_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main()
