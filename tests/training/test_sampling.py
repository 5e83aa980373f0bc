"""Batches: balanced over families, every task once per epoch, a function of the step alone."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.task import Task
from palaestra.training.sampling import TaskSampler


def tasks(**sizes: int) -> list[Task]:
    return [
        Task(id=f"{name}-{i}", prompt="?", family=name) for name, size in sizes.items() for i in range(size)
    ]


@given(st.integers(1, 7), st.integers(0, 50))
def test_families_are_drawn_equally_often_whatever_their_sizes(size: int, seed: int) -> None:
    sampler = TaskSampler(tasks(a=2, b=30, c=7), size, seed)
    drawn = Counter(task.family for step in range(1, 13) for task in sampler.batch(step))
    assert max(drawn.values()) - min(drawn.values()) <= 1


def test_every_task_comes_once_per_epoch_in_changing_order() -> None:
    sampler = TaskSampler(tasks(a=10), 5, seed=1)
    epochs = [[task.id for step in (2 * n + 1, 2 * n + 2) for task in sampler.batch(step)] for n in range(3)]
    assert all(len(set(epoch)) == 10 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    assert TaskSampler(tasks(a=10), 4, 1).batch(7) == TaskSampler(tasks(a=10), 4, 1).batch(7)
    assert TaskSampler(tasks(a=10), 4, 1).batch(7) != TaskSampler(tasks(a=10), 4, 2).batch(7)


def test_a_further_attempt_walks_through_the_tasks_in_another_order() -> None:
    sampler = TaskSampler(tasks(a=10, b=10), 10, seed=1)
    first, second = ([task.id for task in sampler.batch(1, attempt)] for attempt in (0, 1))
    assert first != second == [task.id for task in TaskSampler(tasks(a=10, b=10), 10, seed=1).batch(1, 1)]
    assert [task.id for task in sampler.batch(1)] == first
    assert Counter(name[0] for name in second) == {"a": 5, "b": 5}
