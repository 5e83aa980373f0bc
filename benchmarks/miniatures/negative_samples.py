"""Learning from what is wrong keeps the ways to an answer that learning from what is right gives up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.partners import NUMBERS, partners_examples
from benchmarks.miniatures.tiny_policy import Answer, Budget, adam, copied, draw, train, warmed
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Example
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.nsr import NSR, NSRConfig
from palaestra.training.objectives.psr import PSR, PSRConfig
from palaestra.training.pass_at_k import pass_at_k
from palaestra.training.updater import Updater

LENGTH, CARELESS = 3, 0.3
"""Of the task: numbers in an answer, and the standard deviation of those to imitate."""
HARD = 1 / 3
"""Share of the tasks that only one of the ways leads to; the request does not tell which."""
HABITS = [1 / (1 + way) for way in range(NUMBERS)]
"""How often, to one another, the ways stand in what is imitated."""
BUDGET = Budget(steps=120, max_tokens=LENGTH + 3, tasks=8)
LEARNING_RATE = 3e-4
DRAWN, LOOKS = 256, (1, 16, 64, 256)
"""Answers to each held-out task, and the k of pass@k."""


def measure(seed: int) -> Mapping[str, float]:
    examples = _examples(2000, derive_seed(seed, "train"))
    held_out = [task for task, _ in _examples(75, derive_seed(seed, "held out"))]
    start = warmed(examples, seed, steps=250)
    figures = dict(_pass_rates("start", start, held_out, seed))
    for name, objective in {"PSR": PSR(PSRConfig()), "NSR": NSR(NSRConfig())}.items():
        policy = copied(start)
        updater = Updater(policy.module, objective, adam(LEARNING_RATE), steps=BUDGET.steps)
        train(policy, updater, [task for task, _ in examples], right, BUDGET, seed)
        figures |= _pass_rates(name, policy, held_out, seed)
    return figures


def right(group: Sequence[Answer]) -> list[float]:
    """1 for the right numbers behind a way that leads there, otherwise 0."""
    return [float(_is_right(answer.task, answer.text)) for answer in group]


def _is_right(task: Task, answer: str) -> bool:
    way, _, numbers = answer.partition(" ")
    return way in task.metadata["ways"] and numbers == task.reference


def _pass_rates(
    name: str, policy: TinyModel, tasks: Sequence[Task], seed: int
) -> Iterator[tuple[str, float]]:
    groups = draw(policy, tasks, DRAWN, BUDGET.max_tokens, derive_seed(seed, "held out"))
    correct = [int(sum(right(group))) for group in groups]
    for k in LOOKS:
        yield f"{name} pass@{k}", fmean(pass_at_k(DRAWN, each, k) for each in correct)


def _examples(count: int, seed: int) -> list[Example]:
    """Partners to be named behind one of twenty ways. All ways lead to two tasks of three."""
    pick = random.Random(seed)
    ways = [str(way) for way in range(NUMBERS)]
    found = []
    for task, answer in partners_examples(count, LENGTH, CARELESS, seed):
        lead = [pick.choice(ways)] if pick.random() < HARD else ways
        [habit] = pick.choices(ways, HABITS)
        found.append(Example(task.model_copy(update={"metadata": {"ways": lead}}), f"{habit} {answer}"))
    return found


MINIATURE = Miniature(
    name="negative_samples",
    claim="NSR keeps pass@k at large k where PSR loses it",
    source="The Surprising Effectiveness of Negative Reinforcement, arXiv 2506.01347",
    setting=(
        "Two layers imitate answers that name a way and then three numbers, right nine times out of ten. "
        "Any of 20 ways leads to two thirds of the tasks; to the others a single one does, which the request "
        "does not tell. The ways imitated are habits, with frequencies in proportion to 1 / rank. 120 steps "
        "of 8 groups of 8, Adam at 3e-4; 256 answers to each of 75 held-out tasks."
    ),
    comparisons=(
        *(Comparison(f"pass@{k}", f"NSR pass@{k}", f"PSR pass@{k}") for k in (256, 64, 16, 1)),
        Comparison("pass@256", "NSR pass@256", "start pass@256", "equal", margin=0.02),
        Comparison("pass@256", "PSR pass@256", "start pass@256", "below"),
        Comparison("pass@1", "NSR pass@1", "start pass@1"),
    ),
    measure=measure,
    remark=(
        "Not reproduced. On-policy both follow the same expected gradient, as the probabilities of right and "
        "wrong add up to 1; what tells them apart is noise. Here half of the answers are wrong, most of them "
        "for a reason that the request does not show, and NSR learns from these alone. At a higher rate and "
        "with smaller batches (5e-4, 4 groups, 200 steps) PSR does lose pass@256 beside the start, by 0.036 "
        "(0.004 to 0.067), but NSR loses 0.02 to 0.07 in four of five seeds and all of it in the fifth. The "
        "paper starts from a model that is right more often and steps on 8192 answers at a time."
    ),
)
