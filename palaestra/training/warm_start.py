"""A supervised start: imitate imperfect answers until the policy writes the format."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from pydantic import Field

from palaestra.core.chat import TokenTrace
from palaestra.core.record import Record, derive_seed
from palaestra.datasets.families import Example
from palaestra.models.hf import HFModel
from palaestra.training.objectives.sft import SFT
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.rollouts import conversation
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater


class WarmStartConfig(Record):
    steps: int = Field(default=0, ge=0)
    """Optimizer steps; 0 leaves the policy as it is."""
    examples: int = Field(default=4000, ge=1)
    """Answers to imitate, drawn from the task family."""
    batch_size: int = Field(default=64, ge=1)
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=1e-5, schedule="cosine", warmup_steps=10)


def warm_start(
    policy: HFModel, examples: Sequence[Example], config: WarmStartConfig, show_context: bool, seed: int
) -> Iterator[dict[str, float]]:
    """Fine-tune `policy` on `examples`, yielding each step's metrics."""
    samples = [_to_imitate(policy, example, show_context) for example in examples]
    updater = Updater(policy.module, SFT(), config.optimizer, steps=config.steps)
    draw = random.Random(derive_seed(seed, "warm start"))
    for _ in range(config.steps):
        yield updater.update(draw.sample(samples, k=min(config.batch_size, len(samples))))


def _to_imitate(policy: HFModel, example: Example, show_context: bool) -> Sample:
    """The answer as if the policy had written it: all its tokens carry loss, the prompt's none."""
    prompt = policy.encode(conversation(example.task, show_context))
    answer = [
        *policy.tokenizer.encode(example.answer, add_special_tokens=False),
        policy.tokenizer.eos_token_id,
    ]
    trace = TokenTrace(
        ids=(*prompt, *answer),
        log_probs=(0.0,) * (len(prompt) + len(answer)),
        mask=(*(False for _ in prompt), *(True for _ in answer)),
    )
    return Sample(trace, sampled=False)
