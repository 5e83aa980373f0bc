"""What the miniatures have in common: a policy of two layers, groups of its answers, and steps on them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from palaestra.core.chat import TokenTrace
from palaestra.core.errors import NothingToLearn
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Example
from palaestra.models.decoding import Decoded, Row, decode
from palaestra.models.hf import read_text
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.rollouts import conversation
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater
from palaestra.training.warm_start import WarmStartConfig, warm_start

SMALL = TinyConfig(vocabulary=320, hidden=64, layers=2, heads=4, feed_forward=192, window=96)
"""A hundred thousand parameters."""
ROWS = 512
"""Decoded together at most."""


class Answer(NamedTuple):
    """What the policy wrote to a task."""

    task: Task
    text: str
    trace: TokenTrace


Reward = Callable[[Sequence[Answer]], Sequence[float]]
"""One for each answer of a group, which all answer the same task."""


@dataclass(frozen=True)
class Budget:
    """How much a method may draw and how often it may step."""

    steps: int
    max_tokens: int
    tasks: int = 16
    """In each step."""
    answers: int = 8
    """To each task."""


def adam(learning_rate: float) -> OptimizerConfig:
    """Adam at a constant rate, without decay."""
    return OptimizerConfig(name="adam", learning_rate=learning_rate, weight_decay=0)


def untrained(texts: Sequence[str], seed: int, config: TinyConfig = SMALL) -> TinyModel:
    """A policy with random weights, whose tokens are what recurs in `texts`."""
    return TinyModel.build("tiny/miniature", texts, config, device="cpu", seed=derive_seed(seed, "weights"))


def warmed(
    examples: Sequence[Example],
    seed: int,
    steps: int,
    learning_rate: float = 3e-3,
    batch_size: int = 64,
    config: TinyConfig = SMALL,
) -> TinyModel:
    """A policy that has imitated `examples` and whose tokens are what recurs in them."""
    policy = untrained([text for task, answer in examples for text in (task.request, answer)], seed, config)
    imitate(policy, examples, seed, steps, learning_rate, batch_size)
    return policy


def imitate(
    policy: TinyModel,
    examples: Sequence[Example],
    seed: int,
    steps: int,
    learning_rate: float,
    batch_size: int = 64,
) -> None:
    optimizer = adam(learning_rate).model_copy(update={"schedule": "cosine", "warmup_steps": 10})
    config = WarmStartConfig(steps=steps, batch_size=batch_size, optimizer=optimizer)
    for _ in warm_start(policy, examples, config, show_context=True, seed=seed):
        pass


def copied(policy: TinyModel) -> TinyModel:
    """The same weights once more, so that each method starts from them."""
    return TinyModel(policy.name, copy.deepcopy(policy.module), policy.tokenizer)


def draw(
    policy: TinyModel,
    tasks: Sequence[Task],
    answers: int,
    max_tokens: int,
    seed: int,
    temperature: float = 1.0,
) -> list[list[Answer]]:
    """So many answers to each task; temperature 0 is greedy."""
    prompts = [policy.encode(conversation(task, show_context=True)) for task in tasks]
    rows = [
        Row(prompt, temperature, derive_seed(seed, place, number))
        for place, prompt in enumerate(prompts)
        for number in range(answers)
    ]
    drawn = [
        made
        for start in range(0, len(rows), ROWS)
        for made in decode(policy.module, policy.tokenizer, rows[start : start + ROWS], max_tokens)
    ]
    return [
        [_answer(policy, task, prompt, made) for made in drawn[place * answers : (place + 1) * answers]]
        for place, (task, prompt) in enumerate(zip(tasks, prompts, strict=True))
    ]


def rewarded(groups: Sequence[Sequence[Answer]], reward: Reward) -> list[Sample]:
    """The answers as an updater takes them, each group with a number of its own."""
    return [
        Sample(answer.trace, value, group=number)
        for number, group in enumerate(groups)
        for answer, value in zip(group, reward(group), strict=True)
    ]


def batches(
    policy: TinyModel, tasks: Sequence[Task], budget: Budget, seed: int
) -> Iterator[list[list[Answer]]]:
    """The groups of one step after another, each drawn from the policy as it is by then.

    Two policies that are given the same seed see the same tasks in the same order.
    """
    pick = random.Random(derive_seed(seed, "tasks"))
    for step in range(budget.steps):
        chosen = pick.sample(tasks, k=budget.tasks)
        yield draw(policy, chosen, budget.answers, budget.max_tokens, derive_seed(seed, "step", step))


def train(
    policy: TinyModel, updater: Updater, tasks: Sequence[Task], reward: Reward, budget: Budget, seed: int
) -> list[Mapping[str, float]]:
    """One update for each batch; what the updater told of each, nothing where a batch taught nothing."""
    told: list[Mapping[str, float]] = []
    for groups in batches(policy, tasks, budget, seed):
        try:
            told.append(updater.update(rewarded(groups, reward)))
        except NothingToLearn:
            told.append({})
    return told


def exact(group: Sequence[Answer]) -> list[float]:
    """1 for the reference to the letter, otherwise 0."""
    return [float(answer.text == answer.task.reference) for answer in group]


def mean_reward(groups: Sequence[Sequence[Answer]], reward: Reward) -> float:
    return fmean(value for group in groups for value in reward(group))


def _answer(policy: TinyModel, task: Task, prompt: Sequence[int], made: Decoded) -> Answer:
    unknown, known = [0.0] * len(prompt), [False] * len(prompt)
    trace = TokenTrace(
        ids=(*prompt, *made.ids),
        log_probs=(*unknown, *made.log_probs),
        mask=(*known, *[True] * len(made.ids)),
    )
    return Answer(task, read_text(policy.tokenizer, made.ids, ()).strip(), trace)
