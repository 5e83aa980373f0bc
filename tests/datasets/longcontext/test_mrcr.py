"""MRCR: the prefix rule, and texts that are not taken for each other."""

from itertools import combinations
from pathlib import Path
from statistics import fmean

from palaestra.core.task import ContextFile
from palaestra.datasets.longcontext.mrcr import MRCR_8, score
from palaestra.datasets.shelf import Shelf


def test_the_prefix_decides_first() -> None:
    assert score("k7Xtext of some length", "k7X", "k7Xtext of some length") == 1.0
    assert score("k7Xtext of some length", "k7X", "text of some length") == 0.0
    assert score("k7Xabcd", "k7X", "k7Xabce") == 2 * 3 / 8
    assert score("k7Xabcd", "k7X", " k7Xabcd") == 0.0


def test_the_wrong_one_of_the_texts_scores_clearly_less(tmp_path: Path) -> None:
    ratios = []
    for task in MRCR_8.tasks(10, 12_000, Shelf(tmp_path)):
        assert isinstance(task.context, ContextFile)
        text = Path(task.context.path).read_text(encoding="utf-8")
        prefix, request = task.metadata["prefix"], task.prompt.split("(1 indexed) ")[1].split(". Do not")[0]
        replies = [
            part.partition("\n\nUser: ")[0].strip()
            for part in text.split(f"User: write a {request}\n\nAssistant: ")[1:]
        ]
        assert len(replies) == 8
        scores = [MRCR_8.utility(task, prefix + reply) for reply in replies]
        assert scores.count(1.0) == 1
        number = int(task.prompt.split(" to the ")[1].split("(")[0].strip()[:-2])
        assert scores.index(1.0) == number - 1
        assert MRCR_8.utility(task, replies[number - 1]) == 0.0
        ratios += [score(prefix + a, prefix, prefix + b) for a, b in combinations(replies, 2)]
    assert fmean(ratios) < 0.4
    assert max(ratios) < 0.8
