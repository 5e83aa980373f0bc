"""On-policy distillation gives back a skill that fine-tuning on another one has cost."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.tiny_policy import (
    Budget,
    adam,
    batches,
    copied,
    draw,
    exact,
    imitate,
    mean_reward,
    rewarded,
    untrained,
)
from palaestra.core.errors import NothingToLearn
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.datasets.families import Example
from palaestra.models.config import ModelConfig
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.objectives.on_policy_distillation import (
    OnPolicyDistillation,
    OnPolicyDistillationConfig,
)
from palaestra.training.teacher import Teacher, TeacherConfig
from palaestra.training.updater import Updater

LETTERS = "abcdefgh"
TRAINED, HELD_OUT = 2000, 250
"""Tasks of each skill."""
BUDGET = Budget(steps=100, max_tokens=6, tasks=8, answers=8)
LEARNING_RATE = 2e-4
LEARNED = 0.9
"""Accuracy that the start has in both skills."""
LOST = 0.05
"""Accuracy of a skill that counts as lost."""
BACK = 0.8
"""Share of its old accuracy with which it counts as back."""
EVERY = 2
"""Steps from one look at the held-out tasks to the next."""


class Skill(NamedTuple):
    trained: Sequence[Task]
    held_out: Sequence[Task]

    @property
    def examples(self) -> list[Example]:
        return [Example(task, task.reference or "") for task in self.trained]


class Recovery(NamedTuple):
    rollouts: int
    """Until the lost skill was back; the whole budget where it never was."""
    other: float
    """Accuracy of the other skill at that moment."""


def measure(seed: int) -> Mapping[str, float]:
    lost, other = _skills(seed)
    policy = untrained(["turn", "next"], seed)
    rounds = itertools.count()
    while min(_accuracy(policy, skill, seed) for skill in (lost, other)) < LEARNED:
        both = lost.examples + other.examples
        imitate(policy, both, seed + next(rounds), steps=600, learning_rate=3e-3)
    teacher = copied(policy)
    before = _accuracy(teacher, lost, seed)
    while _accuracy(policy, lost, seed) > LOST:
        imitate(policy, other.examples, seed, steps=20, learning_rate=1e-3)
    known = TeacherConfig(kind="model", model=ModelConfig(name="hf/earlier"))
    distilled, reinforced = copied(policy), copied(policy)
    updaters = {
        "opd": Updater(
            distilled.module,
            OnPolicyDistillation(OnPolicyDistillationConfig()),
            adam(LEARNING_RATE),
            BUDGET.steps,
            teacher=Teacher(known, distilled.module, teacher.module),
        ),
        "rl": Updater(reinforced.module, GRPO(GRPOConfig(kl=0)), adam(LEARNING_RATE), BUDGET.steps),
    }
    figures = {"before": before, "other before": _accuracy(policy, other, seed)}
    for name, student in (("opd", distilled), ("rl", reinforced)):
        recovery = _recover(student, updaters[name], lost, other, BACK * before, seed)
        figures |= {f"{name} rollouts": recovery.rollouts, f"{name} other": recovery.other}
    return figures


def _skills(seed: int) -> tuple[Skill, Skill]:
    """Words backwards, and the successor of each letter; the same words for both."""
    pick = random.Random(derive_seed(seed, "words"))
    words: dict[str, None] = {}
    while len(words) < TRAINED + HELD_OUT:
        words["".join(pick.choices(LETTERS, k=5))] = None
    successor = str.maketrans(LETTERS, LETTERS[1:] + LETTERS[0])
    turned = [Task(id=f"turn-{word}", prompt=f"turn {word}", reference=word[::-1]) for word in words]
    moved = [
        Task(id=f"next-{word}", prompt=f"next {word}", reference=word.translate(successor)) for word in words
    ]
    return Skill(turned[:TRAINED], turned[TRAINED:]), Skill(moved[:TRAINED], moved[TRAINED:])


def _recover(
    policy: TinyModel, updater: Updater, lost: Skill, other: Skill, wanted: float, seed: int
) -> Recovery:
    """Train on the lost skill's tasks alone until it is back."""
    rollouts = 0
    for step, groups in enumerate(batches(policy, lost.trained, BUDGET, seed), start=1):
        rollouts += BUDGET.tasks * BUDGET.answers
        with suppress(NothingToLearn):
            updater.update(rewarded(groups, exact))
        if step % EVERY == 0 and _accuracy(policy, lost, seed) >= wanted:
            break
    return Recovery(rollouts, _accuracy(policy, other, seed))


def _accuracy(policy: TinyModel, skill: Skill, seed: int) -> float:
    """On the held-out tasks, of an answer drawn at temperature 1."""
    drawn = draw(policy, skill.held_out, 1, BUDGET.max_tokens, derive_seed(seed, "held out"))
    return mean_reward(drawn, exact)


MINIATURE = Miniature(
    name="opd",
    claim="On-policy distillation from the checkpoint that still had a lost skill brings it back with fewer "
    "rollouts than reinforcement learning.",
    source="Thinking Machines, On-Policy Distillation, 2025",
    setting="Two layers of 64 learn to write five letters backwards and to replace each by its successor, "
    "then imitate the second skill alone until 5 % accuracy or less is left of the first. Both methods train "
    "on tasks of the first skill only, 8 x 8 rollouts a step, Adam at 2e-4: OPD by the earlier checkpoint, "
    "without rewards, GRPO (no KL) by right or wrong. Counted are rollouts until 80 % of the old accuracy on "
    "250 held-out tasks is back, looked at every 128 and 6400 at most.",
    comparisons=(
        Comparison("rollouts until the lost skill is back", "opd rollouts", "rl rollouts", "below"),
        Comparison("accuracy of the other skill by then", "opd other", "other before", "equal", margin=0.05),
    ),
    measure=measure,
    remark="Where one is not there after 6400 rollouts, that is its figure: GRPO's in three seeds, OPD's "
    "in one of them. No task of the other skill is trained on; in one of ten seeds both methods cost it over "
    "ten points.",
)
