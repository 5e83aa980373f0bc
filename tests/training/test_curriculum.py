"""Stages by step, and when training is over."""

import pytest

from palaestra.core.errors import ConfigError
from palaestra.core.task import Task
from palaestra.training.curriculum import Curriculum, StageConfig
from palaestra.training.progress import Progress

TASKS = [Task(id=str(length), prompt="x" * length) for length in range(1, 21)]


def length(task: Task) -> int:
    return len(task.prompt)


def test_prompts_and_answers_grow_by_stage() -> None:
    stages = (
        StageConfig(steps=3, max_prompt_tokens=5, max_tokens=10),
        StageConfig(steps=2, max_prompt_tokens=12, max_tokens=20),
        StageConfig(steps=1),
    )
    curriculum = Curriculum(stages, TASKS, length, batch_size=8, seed=0)
    limits = [curriculum.stage(step).max_tokens for step in range(1, 9)]
    assert limits == [10, 10, 10, 20, 20, None, None, None]
    longest = [max(map(length, curriculum.stage(step).sampler.batch(step))) for step in range(1, 9)]
    assert all(each <= 5 for each in longest[:3])
    assert all(5 < each <= 12 for each in longest[3:5])
    assert max(longest[5:]) > 12


def test_a_stage_without_tasks_is_told() -> None:
    with pytest.raises(ConfigError, match="no task of stage 2 has at most 1 prompt tokens"):
        Curriculum(
            (StageConfig(steps=1), StageConfig(steps=1, max_prompt_tokens=1)), TASKS[1:], length, 4, seed=0
        )


def test_patience_counts_evaluations_since_the_best() -> None:
    progress = Progress(patience=2, rates={})
    assert (progress.best, progress.last, progress.is_over) == (None, None, False)
    over = []
    for step, rate in enumerate([0.5, 0.6, 0.6, 0.55, 0.7], start=1):
        progress.add(step, rate)
        over.append(progress.is_over)
    assert over == [False, False, False, True, False]
    assert (progress.best, progress.last) == (5, 5)
    assert Progress(2, {1: 0.5, 2: 0.6, 3: 0.6, 4: 0.55}).is_over  # as a resumed run finds it
    assert not Progress(0, {1: 0.5, 2: 0.4, 3: 0.3}).is_over
