"""CorpusQA: what is read from the documents is the table, and SQL over it is right."""

import re
from itertools import islice
from pathlib import Path

import pytest

from palaestra.core.task import ContextFile
from palaestra.datasets.longcontext.corpus_qa import CORPUS_QA, Company, companies, score
from palaestra.datasets.shelf import Shelf
from palaestra.models.programs.longcontext.reports import read_report


@pytest.mark.parametrize(
    ("gold", "answer", "expected"),
    [
        ("1200", "The answer is: 1,200", 1.0),
        ("1200", "I add up: 700 and 500. The answer is: **1200**.", 1.0),
        ("1200", "The answer is: 1210", 0.0),
        ("1234.5678", "The answer is: 1234.6 people", 1.0),
        ("-310", "The answer is: -310", 1.0),
        ("-310", "The answer is: 310", 0.0),
        ("Ada Bianchi Anvil Works", "The answer is: Ada Bianchi Anvil Works.", 1.0),
        ("shipping", "The answer is: textiles", 0.0),
        ("12", "I do not know", 0.0),
    ],
)
def test_numbers_are_right_within_a_thousandth_and_names_as_they_are(
    gold: str, answer: str, expected: float
) -> None:
    assert score(gold, answer) == expected


def test_the_documents_say_what_the_table_says(tmp_path: Path) -> None:
    tasks = CORPUS_QA.tasks(30, 40_000, Shelf(tmp_path))
    context = tasks[0].context
    assert isinstance(context, ContextFile)
    documents = re.findall(r"=== (.+) ===\n(.+)\n\n", Path(context.path).read_text(encoding="utf-8"))
    read = [_company(name, read_report(text)) for name, text in documents]
    assert read == list(islice(companies("corpus-qa-40000-0"), len(documents)))
    assert len(read) == 39

    for task in tasks:
        if found := re.match(r"How many companies in (\w+) were founded before (\d+)", task.prompt):
            expected = sum(each.sector == found[1] and each.founded < int(found[2]) for each in read)
            assert task.reference == str(expected)
        if found := re.match(r"What is the total revenue, .* of the companies in (\w+)\?", task.prompt):
            assert task.reference == str(sum(each.revenue for each in read if each.sector == found[1]))
        if found := re.match(r"Which company in (\w+) has the highest margin", task.prompt):
            best = max((each for each in read if each.sector == found[1]), key=lambda each: each.margin)
            assert task.reference == best.name
        if found := re.match(r"How many people do the companies in (\w+) employ on average", task.prompt):
            people = [each.employees for each in read if each.region == found[1]]
            assert score(task.reference or "", f"The answer is: {sum(people) / len(people)}") == 1.0
    assert len({task.prompt.split()[1] + task.prompt.split()[2] for task in tasks}) >= 5


def _company(name: str, row: dict[str, str]) -> Company:
    numbers = int(row["founded"]), int(row["revenue"]), int(row["employees"])
    return Company(name, row["sector"], row["region"], *numbers, float(row["margin"]))
