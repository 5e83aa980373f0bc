"""Task families: where tasks come from without a file, and what is known about their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from palaestra.core.errors import ConfigError
from palaestra.core.places import load
from palaestra.core.task import Task
from palaestra.datasets.shelf import Shelf

Split = Literal["train", "held-out"]


class Example(NamedTuple):
    """A task with an answer to imitate."""

    task: Task
    answer: str


class Family(Protocol):
    """Tasks of one kind, whose answers a program can tell the worth of."""

    name: str

    def utility(self, task: Task, answer: str) -> float:
        """The worth of an answer, in [0, 1]: the published score of a benchmark, or the hidden one of an
        open-ended task. A programmatic judge goes by it."""
        ...


class TaskFamily(Family, Protocol):
    """A family that a policy can be trained on."""

    def tasks(self, count: int, split: Split, seed: int = 0) -> list[Task]:
        """Distinct tasks; no task of one split is ever in the other, whatever the seeds.

        Raises:
            ConfigError: there are not so many.
        """
        ...

    def examples(self, count: int, seed: int = 0) -> list[Example]:
        """Imperfect answers to training tasks, for a supervised warm start."""
        ...

    def remark(self, task: Task, answer: str) -> str:
        """What a verifier says of an answer that is wrong, without giving a right one away; empty where it
        has nothing to say."""
        ...


class PromptFamily(Family, Protocol):
    """A family of prompts without a context."""

    def tasks(self, count: int, seed: int = 0) -> list[Task]:
        """Tasks; the same for the same arguments."""
        ...


class LongContextFamily(Family, Protocol):
    """A family whose contexts have any length."""

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        """Tasks whose prompt and context have about so many tokens together, at most; the same for the same
        arguments. Contexts are written to the shelf as they are made and never held whole.

        Raises:
            ConfigError: the family needs more tokens than that.
        """
        ...


FAMILIES: Mapping[str, str] = {
    "trip": "palaestra.datasets.trip.family:TRIP",
    "general-points": "palaestra.datasets.arithmetic.general_points:IN_DISTRIBUTION",
    "general-points-ood": "palaestra.datasets.arithmetic.general_points:OUT_OF_DISTRIBUTION",
    "countdown": "palaestra.datasets.arithmetic.countdown:SMALL",
    **{
        f"countdown-{level}": f"palaestra.datasets.arithmetic.countdown:LEVEL_{level}"
        for level in (2, 3, 4, 5)
    },
    "compositions": "palaestra.datasets.compositions.family:LEVEL_2",
    **{
        f"compositions-{level}": f"palaestra.datasets.compositions.family:LEVEL_{level}"
        for level in range(1, 7)
    },
}
_LONG_CONTEXT = "palaestra.datasets.longcontext"
LONG_CONTEXT_FAMILIES: Mapping[str, str] = {
    "niah-single": f"{_LONG_CONTEXT}.niah:SINGLE",
    "niah-single-uuid": f"{_LONG_CONTEXT}.niah:SINGLE_UUID",
    "niah-multikey": f"{_LONG_CONTEXT}.niah:MULTIKEY",
    "niah-multikey-needles": f"{_LONG_CONTEXT}.niah:MULTIKEY_NEEDLES",
    "niah-multikey-uuid": f"{_LONG_CONTEXT}.niah:MULTIKEY_UUID",
    "niah-multivalue": f"{_LONG_CONTEXT}.niah:MULTIVALUE",
    "niah-multiquery": f"{_LONG_CONTEXT}.niah:MULTIQUERY",
    "variable-tracking": f"{_LONG_CONTEXT}.variable_tracking:VARIABLE_TRACKING",
    "common-words": f"{_LONG_CONTEXT}.common_words:COMMON_WORDS",
    "frequent-words": f"{_LONG_CONTEXT}.frequent_words:FREQUENT_WORDS",
    "oolong-counting": f"{_LONG_CONTEXT}.oolong:COUNTING",
    "oolong-user": f"{_LONG_CONTEXT}.oolong:USER",
    "oolong-timeline": f"{_LONG_CONTEXT}.oolong:TIMELINE",
    "oolong-pairs": f"{_LONG_CONTEXT}.oolong_pairs:OOLONG_PAIRS",
    "mrcr-2": f"{_LONG_CONTEXT}.mrcr:MRCR_2",
    "mrcr-4": f"{_LONG_CONTEXT}.mrcr:MRCR_4",
    "mrcr-8": f"{_LONG_CONTEXT}.mrcr:MRCR_8",
    "corpus-qa": f"{_LONG_CONTEXT}.corpus_qa:CORPUS_QA",
    "dialogue-memory": f"{_LONG_CONTEXT}.dialogue_memory:DIALOGUE_MEMORY",
}
_SCORED_ONLY: Mapping[str, str] = {
    "oolong": f"{_LONG_CONTEXT}.oolong:OOLONG",
    "mrcr": f"{_LONG_CONTEXT}.mrcr:MRCR",
    "longmemeval": f"{_LONG_CONTEXT}.dialogue_memory:LONG_MEM_EVAL",
    "longbench-v2": f"{_LONG_CONTEXT}.published_scores:LONG_BENCH",
    "browsecomp-plus": f"{_LONG_CONTEXT}.published_scores:BROWSE_COMP",
}
"""Families of tasks that come from published files."""
PROMPT_FAMILIES: Mapping[str, str] = {
    "name-index": f"{_LONG_CONTEXT}.name_lists:NAME_INDEX",
    "middle-match": f"{_LONG_CONTEXT}.name_lists:MIDDLE_MATCH",
}


def family(name: str) -> TaskFamily:
    """
    Raises:
        ConfigError: there is no such family.
    """
    found: TaskFamily = _find(name, FAMILIES)
    return found


def long_context_family(name: str) -> LongContextFamily:
    """
    Raises:
        ConfigError: there is no such family.
    """
    found: LongContextFamily = _find(name, LONG_CONTEXT_FAMILIES)
    return found


def prompt_family(name: str) -> PromptFamily:
    """
    Raises:
        ConfigError: there is no such family.
    """
    found: PromptFamily = _find(name, PROMPT_FAMILIES)
    return found


def scoring_family(name: str) -> Family | None:
    """The family by which answers to tasks of that name can be scored; None when nothing is known of it."""
    known = {**FAMILIES, **LONG_CONTEXT_FAMILIES, **PROMPT_FAMILIES, **_SCORED_ONLY}
    found: Family | None = _find(name, known) if name in known else None
    return found


def _find(name: str, places: Mapping[str, str]) -> Any:
    if name not in places:
        raise ConfigError(f"unknown task family {name!r}; there are: {', '.join(sorted(places))}")
    return load(places[name], f"the task family {name}")
