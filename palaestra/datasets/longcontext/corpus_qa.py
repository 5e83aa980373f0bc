"""Questions to a table that is scattered over documents: after CorpusQA (arXiv 2601.14952).

A table is made, every row becomes a document of prose, and SQL over the table gives the answers.
"""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from palaestra.core.task import Task
from palaestra.datasets.longcontext.haystack import too_short
from palaestra.datasets.longcontext.words import FIRST_NAMES, LAST_NAMES, NOUNS
from palaestra.datasets.shelf import Shelf

SECTORS = ("shipping", "textiles", "brewing", "optics", "printing", "forestry")
REGIONS = ("Norland", "Sudmark", "Estria", "Westhaven", "Midvale")
LEAST_DOCUMENT, DOCUMENT = 150, 1000
"""Tokens of a document: the first in short contexts, the second in those of 16 documents or more."""
RESERVED = 250
"""Tokens that are left for question and answer."""
TOLERANCE = 1e-3
"""By which a number may be off, relative to itself."""
FORM = "End your response with 'The answer is: ' and the answer: a number without its unit, or a name."
ATTEMPTS = 200


class Company(NamedTuple):
    name: str
    sector: str
    region: str
    founded: int
    revenue: int
    """Millions, as in the year before and in the plan."""
    employees: int
    margin: float
    """Percent."""


class Query(NamedTuple):
    text: str
    sql: str


class CorpusQA:
    """Counts, sums, means, extremes and comparisons of groups over companies that each have one report."""

    name = "corpus-qa"

    def tasks(self, count: int, tokens: int, shelf: Shelf, seed: int = 0) -> list[Task]:
        name = f"{self.name}-{tokens}-{seed}"
        documents = int((tokens - RESERVED) / min(DOCUMENT, max(LEAST_DOCUMENT, tokens / 16)))
        if documents < 4:
            raise too_short(self.name, tokens)
        length = (tokens - RESERVED) / documents
        context = shelf.keep(
            write(company, length, shelf, random.Random(f"{name} {company.name}"))
            for company in itertools.islice(companies(name), documents)
        )
        with closing(table(itertools.islice(companies(name), documents))) as rows:
            queries = list(itertools.islice(answerable(rows, random.Random(f"{name} queries")), count))
            if len(queries) < count:
                raise too_short(f"{count} questions of {self.name}", tokens)
            return [
                Task(
                    id=f"{name}-{index}",
                    family=self.name,
                    prompt=query.text,
                    answer_format=FORM,
                    context=context,
                    reference=gold,
                    metadata={"sql": query.sql, "tokens": tokens},
                )
                for index, (query, gold) in enumerate(queries)
            ]

    def utility(self, task: Task, answer: str) -> float:
        return score(task.reference or "", answer)


def score(gold: str, answer: str) -> float:
    """1 for the right number, within the tolerance, or the right name; else 0.

    >>> score("1200", "The answer is: 1,200"), score("1200", "1210"), score("Abbott Acorn", "Abbott Acorn.")
    (1.0, 0.0, 1.0)
    """
    said = re.split(r"answer(?: is)?:?", answer, flags=re.IGNORECASE)[-1].strip().strip("*.").replace(",", "")
    if not re.fullmatch(r"-?[\d.]+", gold):
        return float(said.casefold() == gold.casefold())
    number = re.match(r"-?\d+(\.\d+)?", said)
    return float(number is not None and abs(float(number[0]) - float(gold)) <= TOLERANCE * abs(float(gold)))


def companies(seed: str) -> Iterator[Company]:
    """Rows without end, no name twice."""
    draw = random.Random(seed)
    names: set[str] = set()
    while True:
        name = f"{draw.choice(FIRST_NAMES)} {draw.choice(LAST_NAMES)} {draw.choice(NOUNS).title()} Works"
        if name not in names:
            names.add(name)
            yield Company(
                name,
                draw.choice(SECTORS),
                draw.choice(REGIONS),
                draw.randint(1850, 2015),
                draw.randint(20, 9000),
                draw.randint(30, 40_000),
                draw.randint(-90, 350) / 10,
            )


def write(company: Company, tokens: float, shelf: Shelf, draw: random.Random) -> str:
    """A document of about so many tokens that says all there is in the row, and more."""
    facts = [draw.choice(forms) for forms in _FACTS]
    text = [fact.format(**company._asdict(), **_others(company, draw)) for fact in facts]
    room = tokens - shelf.count(f"=== {company.name} ===\n\n" + " ".join(text))
    while (sentence := draw.choice(_FILLERS).format(**_others(company, draw))) and room >= shelf.count(
        sentence
    ):
        room -= shelf.count(f" {sentence}")
        text.insert(draw.randrange(len(text) + 1), sentence)
    return f"=== {company.name} ===\n{' '.join(text)}\n\n"


def table(rows: Iterator[Company]) -> sqlite3.Connection:
    """A database with the table `companies`."""
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE companies ({', '.join(Company._fields)})")
    database.executemany(f"INSERT INTO companies VALUES ({', '.join('?' * len(Company._fields))})", rows)
    return database


def answerable(rows: sqlite3.Connection, draw: random.Random) -> Iterator[tuple[Query, str]]:
    """Different questions with one clear answer, each with it, until no more are found."""
    asked: set[str] = set()
    while True:
        for _ in range(ATTEMPTS):
            query = _query(draw)
            found = rows.execute(query.sql).fetchall()
            if query.text not in asked and _is_clear(found):
                break
        else:
            return
        asked.add(query.text)
        gold = found[0][0]
        yield query, f"{gold:.4f}".rstrip("0").rstrip(".") if isinstance(gold, float) else str(gold)


def _is_clear(found: list[tuple[object, ...]]) -> bool:
    """There is an answer, and none other as good: a ranking brings its second row with what it ranks by."""
    if not found or found[0][0] in (None, 0):
        return False
    return len(found) == 1 or found[0][1] != found[1][1]


def _query(draw: random.Random) -> Query:
    sector, (region, other) = draw.choice(SECTORS), draw.sample(REGIONS, 2)
    year, revenue = draw.randrange(1880, 2000, 10), draw.randrange(1000, 7000, 500)
    start = "FROM companies WHERE"
    return draw.choice(
        (
            Query(
                f"How many companies in {sector} were founded before {year}?",
                f"SELECT COUNT(*) {start} sector = '{sector}' AND founded < {year}",
            ),
            Query(
                f"How many companies in {region} have a revenue of more than {revenue} million crowns?",
                f"SELECT COUNT(*) {start} region = '{region}' AND revenue > {revenue}",
            ),
            Query(
                f"What is the total revenue, in million crowns, of the companies in {sector}?",
                f"SELECT SUM(revenue) {start} sector = '{sector}'",
            ),
            Query(
                f"How many people do the companies in {region} employ on average?",
                f"SELECT AVG(employees) {start} region = '{region}'",
            ),
            Query(
                f"Which company in {sector} has the highest margin?",
                f"SELECT name, margin {start} sector = '{sector}' ORDER BY margin DESC LIMIT 2",
            ),
            Query(
                f"Which sector has the highest total revenue among the companies in {region}?",
                f"SELECT sector, SUM(revenue) AS total {start} region = '{region}' GROUP BY sector "
                "ORDER BY total DESC LIMIT 2",
            ),
            Query(
                f"By how many million crowns does the total revenue of the companies in {region} exceed that "
                f"of the companies in {other}? It is negative if it does not.",
                f"SELECT (SELECT SUM(revenue) {start} region = '{region}') - "
                f"(SELECT SUM(revenue) {start} region = '{other}')",
            ),
        )
    )


def _others(company: Company, draw: random.Random) -> dict[str, str]:
    """Names and numbers that are not what a row says."""
    return {
        "person": f"{draw.choice(FIRST_NAMES)} {draw.choice(LAST_NAMES)}",
        "noun": draw.choice(NOUNS),
        "before": str(max(1, round(company.revenue * draw.uniform(0.6, 1.4)))),
        "applied": str(draw.randint(40, 60_000)),
        "industry": str(draw.randint(-40, 250) / 10),
        "years": str(draw.randint(2, 40)),
        "place": draw.choice(REGIONS),
        "trade": draw.choice(SECTORS),
    }


_FACTS = (
    (
        "{name} is a company in {sector} with its seat in {region}; {trade} was given up long ago.",
        "With its seat in {region} and an office in {place}, {name} works in {sector}.",
        "Nobody in {place} would think of it, but {name}, seated in {region}, earns its money in {sector}.",
    ),
    (
        "It was founded in {founded}, and moved {years} years later.",
        "{years} years after a first attempt that failed, it came to be founded in {founded}.",
    ),
    (
        "Revenue was {revenue} million crowns, after {before} million in the year before.",
        "After {before} million crowns in the year before, revenue reached {revenue} million.",
        "A revenue of {before} million crowns had been planned, and {revenue} million were made.",
    ),
    (
        "At the end of the year it employed {employees} people, of {applied} who had applied over time.",
        "Of {applied} applicants few were taken, which leaves {employees} people on the payroll.",
    ),
    (
        "The margin was {margin} percent, when that of the industry was {industry} percent.",
        "Against {industry} percent in the industry, its own margin stood at {margin} percent.",
    ),
)
"""Sector and region, year, revenue, employees, margin: each in several wordings, beside other numbers."""
_FILLERS = (
    "{person} joined the board after {years} years with a competitor from {place}.",
    "The {noun} in the entrance hall was repaired at the expense of {person}.",
    "A supplier from {place}, in {trade}, was paid {before} thousand crowns ahead of time.",
    "For the coming year {person} expects that the {noun} will be a success.",
    "The auditors had {years} remarks, most of them about the {noun}.",
    "Visitors from {place} were shown the {noun} and the archive.",
    "In a letter to the shareholders {person} thanks everybody who made the year what it was.",
    "{person} remembers {years} winters that were harder than this one.",
)

CORPUS_QA = CorpusQA()
