"""The `compositions` families: what do nested calls of functions give whose names tell nothing?

After RL-Compositionality (arXiv 2509.25123). Level n is n calls. From level 2 on, training composes one half
of the functions and the held-out tasks the other; examples show every function alone, so that what the
held-out tasks ask for is the composing. What the functions mean is a task's context, and a run may show it.
"""

from __future__ import annotations

import random

from palaestra.core.errors import ConfigError
from palaestra.core.record import digest
from palaestra.core.task import Task
from palaestra.datasets.compositions.expression import Expression, random_expression
from palaestra.datasets.compositions.functions import FUNCTIONS, TRAINED
from palaestra.datasets.families import Example, Split

MOST = 100_000
"""Tasks of one split that can be drawn at every level."""
COMPOSED = 0.25
"""Share of the examples that have the family's own level; enough to show the form."""


class CompositionsFamily:
    """An answer is the last line; examples write the result of each call on a line of its own before it."""

    def __init__(self, name: str, level: int) -> None:
        self.name = name
        self._level = level

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        if count > MOST:
            raise ConfigError(f"{self.name} has {MOST} {split} tasks; {count} are asked for: ask for fewer")
        draw = random.Random(f"{self.name} {split} {seed}")
        tasks: dict[str, Task] = {}
        while len(tasks) < count:
            task = self._task(_draw(self._level, split, draw))
            tasks.setdefault(task.id, task)
        return list(tasks.values())

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        draw = random.Random(f"{self.name} examples {seed}")
        examples = []
        for _ in range(count):
            level = self._level if draw.random() < COMPOSED else 1
            expression = _draw(level, "train", draw)
            examples.append(Example(self._task(expression), "\n".join(expression.results())))
        return examples

    def utility(self, task: Task, answer: str) -> float:
        """1 if the last line is the result to the letter, otherwise 0."""
        lines = answer.strip().splitlines()
        return float(bool(lines) and lines[-1].strip() == task.reference)

    def remark(self, task: Task, answer: str) -> str:
        lines = answer.strip().splitlines() or [""]
        return "" if self.utility(task, answer) else f"The result is not {lines[-1].strip()!r}."

    def _task(self, expression: Expression) -> Task:
        question = f"What is {expression.write()} for x={expression.input}?"
        return Task(
            id=f"{self.name}-{digest(question)[:12]}",
            family=self.name,
            prompt=question,
            context=expression.definitions(),
            reference=expression.results()[-1],
            metadata={"level": len(expression.calls)},
        )


def _draw(level: int, split: Split, draw: random.Random) -> Expression:
    """A fifth of the inputs is held out too, so that level 1 has two splits."""
    functions = [
        place for place in range(len(FUNCTIONS)) if level == 1 or (place in TRAINED) == (split == "train")
    ]
    while True:
        expression = random_expression(functions, level, draw)
        if (int(digest(expression.input)[:8], 16) % 5 == 0) == (split == "held-out"):
            return expression


LEVEL_1, LEVEL_2, LEVEL_3, LEVEL_4, LEVEL_5, LEVEL_6 = (
    CompositionsFamily(f"compositions-{level}", level) for level in range(1, 7)
)
