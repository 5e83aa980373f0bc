"""A skill that a policy half has and that rewards can complete: digits that stand for others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.miniatures.tiny_policy import Answer, Budget, draw, exact, mean_reward, train, warmed
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Example
from palaestra.models.tiny import TinyModel
from palaestra.training.updater import Updater

DIGITS, LENGTH, RIGHT = 10, 4, 0.6
"""RIGHT is the share of right digits in the answers that a warm start imitates."""
BUDGET = Budget(steps=60, max_tokens=LENGTH + 2)
HELD_OUT, SAMPLES = 100, 8
DESCRIPTION = (
    "Four digits, each of which stands for another one; a policy of 2 layers x 64 has imitated answers of "
    f"which {RIGHT:.0%} of the digits are right. GRPO without KL, the reward is the share of right digits, "
    f"{BUDGET.steps} steps of {BUDGET.tasks} tasks x {BUDGET.answers} answers. Held-out: {HELD_OUT} tasks x "
    f"{SAMPLES} samples, right if all digits are."
)


@dataclass(frozen=True)
class Substitution:
    start: TinyModel
    tasks: Sequence[Task]
    held_out: Sequence[Task]

    def accuracy_after(self, policy: TinyModel, updater: Updater, seed: int) -> float:
        """Of a policy that its updater has trained."""
        train(policy, updater, self.tasks, right_digits, BUDGET, seed)
        return self.accuracy(policy, seed)

    def accuracy(self, policy: TinyModel, seed: int) -> float:
        """On held-out tasks."""
        drawn = draw(policy, self.held_out, SAMPLES, BUDGET.max_tokens, derive_seed(seed, "held-out"))
        return mean_reward(drawn, exact)


def substitution(seed: int) -> Substitution:
    pick = random.Random(derive_seed(seed, "tasks"))
    meaning = pick.sample(range(DIGITS), k=DIGITS)
    numbers = [
        tuple(map(int, f"{number:0{LENGTH}}")) for number in pick.sample(range(DIGITS**LENGTH), k=3100)
    ]
    examples = [_example(digits, meaning, pick) for digits in numbers]
    tasks = [example.task for example in examples]
    start = warmed(examples[HELD_OUT:], seed, steps=300)
    return Substitution(start, tasks[HELD_OUT:], tasks[:HELD_OUT])


def right_digits(group: Sequence[Answer]) -> list[float]:
    """The share of them; 0 for an answer of another length."""
    shares = []
    for answer in group:
        wanted, written = (answer.task.reference or "").split(), answer.text.split()
        right = sum(map(str.__eq__, wanted, written)) / LENGTH
        shares.append(right if len(written) == LENGTH else 0.0)
    return shares


def _example(digits: Sequence[int], meaning: Sequence[int], pick: random.Random) -> Example:
    wanted = [meaning[digit] for digit in digits]
    imitated = [digit if pick.random() < RIGHT else pick.randrange(DIGITS) for digit in wanted]
    prompt, reference, answer = (" ".join(map(str, each)) for each in (digits, wanted, imitated))
    return Example(Task(id=prompt, prompt=prompt, reference=reference), answer)
