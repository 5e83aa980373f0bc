"""Aggregation over unlabelled lines: OOLONG's tasks and scores (Bertsch et al., arXiv 2511.02817)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from palaestra.core.task import Task
from palaestra.datasets.longcontext import oolong_questions
from palaestra.datasets.longcontext.haystack import too_short
from palaestra.datasets.longcontext.oolong_questions import Maker, Query
from palaestra.datasets.longcontext.window import DATE, Tally, make_window
from palaestra.datasets.shelf import Shelf

QUESTIONS_PER_WINDOW = 25
ATTEMPTS = 40
"""At a question before a window is given up."""
SHORT = 20
"""Characters up to which an answer without a colon is read whole."""
COMPARISONS = ("more common", "less common", "same frequency")


@dataclass(frozen=True)
class Oolong:
    """One group of questions: counting, user or timeline."""

    name: str
    makers: Sequence[Maker]

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        starts = range(0, count, QUESTIONS_PER_WINDOW)
        return [task for start in starts for task in self._ask(count - start, tokens, shelf, seed, start)]

    def utility(self, task: Task, answer: str) -> float:
        return score(task.metadata["kind"], task.reference or "", answer)

    def _ask(self, count: int, tokens: int, shelf: Shelf, seed: int, start: int) -> list[Task]:
        # The three groups ask about the same windows.
        window = make_window(f"oolong-{tokens}-{seed}-{start}", tokens, shelf)
        queries = self._queries(window.tally, random.Random(f"{self.name}-{tokens}-{seed}-{start}"), tokens)
        return [
            Task(
                id=f"{self.name}-{tokens}-{seed}-{start + index}",
                family=self.name,
                prompt=f"In the data above, {query.text}",
                answer_format=query.form,
                context=window.context,
                reference=query.gold,
                metadata={"kind": query.kind, "tokens": tokens},
            )
            for index, query in zip(range(min(count, QUESTIONS_PER_WINDOW)), queries, strict=False)
        ]

    def _queries(self, tally: Tally, draw: random.Random, tokens: int) -> Iterator[Query]:
        """Different questions, of each kind in turn."""
        asked: set[str] = set()
        makers = draw.sample(self.makers, len(self.makers))
        while True:
            before = len(asked)
            for _ in range(ATTEMPTS):
                for maker in makers:
                    query = maker(tally, draw)
                    if query is not None and query.text not in asked:
                        asked.add(query.text)
                        yield query
            if len(asked) == before:
                raise too_short(self.name, tokens)


class PublishedOolong:
    """Tasks from OOLONG's own files."""

    name = "oolong"

    def utility(self, task: Task, answer: str) -> float:
        return score(task.metadata["kind"], task.reference or "", answer)


def parse_answer(text: str) -> str:
    """What stands after the last colon, without asterisks and brackets; a short answer has no need of one.

    >>> parse_answer("So it is:\\nLabel: **[location]**"), parse_answer("location")
    ('location', 'location')
    """
    if ":" in text:
        text = text.rpartition(":")[2]
    elif len(text.strip()) > SHORT:
        text = text.split()[-1]
    return re.sub(r"[*\[\]]", "", text).strip().rstrip(".")


def score(kind: str, gold: str, answer: str) -> float:
    """The published score: 1 for the expected label, user, date or comparison, and 0.75 to the power of its
    error for a number. Unlike in the published one, case does not count.

    >>> [score("NUMERIC", "7", f"Answer: {number}") for number in (7, 8, 9)]
    [1.0, 0.75, 0.5625]
    """
    said = parse_answer(answer)
    if said.casefold() == gold.casefold():
        return 1.0
    match kind.rpartition(".")[2]:
        case "COMPARISON":
            return float(any(phrase in gold and phrase in said.casefold() for phrase in COMPARISONS))
        case "NUMERIC":
            number = re.fullmatch(r"-?\d+", said.replace(",", ""))
            return 0.75 ** abs(int(gold) - int(number[0])) if number else 0.0
        case "DATE":
            return float(_day(said) is not None and _day(said) == _day(gold))
    return 0.0


def _day(text: str) -> date | None:
    for form in (DATE, "%Y-%m-%d", "%B %d, %Y", "%m/%d/%Y", "%d %B %Y"):
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    return None


COUNTING = Oolong("oolong-counting", oolong_questions.COUNTING)
USER = Oolong("oolong-user", oolong_questions.USER)
TIMELINE = Oolong("oolong-timeline", oolong_questions.TIMELINE)
OOLONG = PublishedOolong()
