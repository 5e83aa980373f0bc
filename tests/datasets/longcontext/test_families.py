"""What holds for every family: the same for a seed, as long as asked for, and never held whole."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from palaestra.core.errors import ConfigError
from palaestra.core.task import ContextFile, Task
from palaestra.datasets.families import LONG_CONTEXT_FAMILIES, long_context_family, scoring_family
from palaestra.datasets.shelf import Shelf


def text_of(task: Task) -> str:
    assert isinstance(task.context, ContextFile)
    text = Path(task.context.path).read_text(encoding="utf-8")
    assert len(text) == task.context.characters
    return text


@pytest.mark.parametrize("name", LONG_CONTEXT_FAMILIES)
def test_tasks_follow_from_the_seed_and_have_the_length_asked_for(name: str, tmp_path: Path) -> None:
    family = long_context_family(name)
    shelf = Shelf(tmp_path)
    tasks = family.tasks(3, 6000, shelf)
    assert family.tasks(3, 6000, shelf) == tasks
    assert [task.id for task in tasks] != [task.id for task in family.tasks(3, 6000, shelf, seed=1)]
    assert text_of(family.tasks(1, 6000, shelf, seed=1)[0]) != text_of(tasks[0])
    assert len({task.id for task in tasks}) == 3
    for task in tasks:
        assert 0.85 * 6000 <= (len(task.request) + len(text_of(task))) / 4 <= 6000
        assert family is scoring_family(task.family)
        assert family.utility(task, "") == family.utility(task, "I cannot say anything about it.") * 0 == 0


@pytest.mark.parametrize("name", LONG_CONTEXT_FAMILIES)
def test_a_thousand_tokens_are_enough(name: str, tmp_path: Path) -> None:
    (task,) = long_context_family(name).tasks(1, 1024, Shelf(tmp_path))
    assert len(task.request) + len(text_of(task)) <= 4 * 1024
    with pytest.raises(ConfigError, match="too few"):
        long_context_family(name).tasks(1, 150, Shelf(tmp_path))


@pytest.mark.parametrize(
    "name", ["niah-multikey-needles", "frequent-words", "oolong-counting", "mrcr-8", "corpus-qa"]
)
def test_lengths_are_counted_as_the_model_counts(name: str, tmp_path: Path) -> None:
    count: Callable[[str], float] = lambda text: len(text.split())  # noqa: E731
    (task,) = long_context_family(name).tasks(1, 3000, Shelf(tmp_path, count))
    assert 2400 <= len(f"{task.request} {text_of(task)}".split()) <= 3000


@pytest.mark.parametrize("name", ["niah-single", "mrcr-8", "dialogue-memory"])
def test_a_context_is_written_without_being_held(name: str, tmp_path: Path) -> None:
    family = long_context_family(name)
    family.tasks(1, 2000, Shelf(tmp_path))
    tracemalloc.start()
    (task,) = family.tasks(1, 500_000, Shelf(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(task.context, ContextFile)
    assert task.context.characters > 1_900_000
    assert peak < 1_000_000


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown task family 'mrcr-3'.*mrcr-2"):
        long_context_family("mrcr-3")
    assert scoring_family("mrcr-3") is None
