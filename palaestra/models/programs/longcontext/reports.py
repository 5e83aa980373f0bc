"""Reports of companies, one document each: reading what a table would say, and adding up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from palaestra.models.programs.longcontext.skill import Notes, Skill

_DOCUMENT = re.compile(r"^=== (.+?) ===\n(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
_FIELDS = {
    "sector": r"is a company in (\w+) with|, .+? works in (\w+)\.|, earns its money in (\w+)\.",
    "region": r"with its seat in (\w+);|With its seat in (\w+) and|, seated in (\w+), earns",
    "founded": r"It was founded in (\d{4})|came to be founded in (\d{4})",
    "revenue": r"Revenue was (\d+) million|revenue reached (\d+) million|and (\d+) million were made",
    "employees": r"it employed (\d+) people|leaves (\d+) people on the payroll",
    "margin": r"The margin was (-?[\d.]+) percent|own margin stood at (-?[\d.]+) percent",
}


def read_report(text: str) -> dict[str, str]:
    """The fields of a document, as far as it has them."""
    found = {field: re.search(pattern, text) for field, pattern in _FIELDS.items()}
    return {field: next(filter(None, match.groups())) for field, match in found.items() if match}


def note_reports(question: str, text: str) -> Iterator[tuple[str, int]]:
    regions = re.findall(r"(?:companies in|exceed that of the companies in) ([A-Z]\w+)", question)
    sectors = re.findall(r"(?:[Cc]ompanies|[Cc]ompany) in ([a-z]+)", question)
    for name, body in _DOCUMENT.findall(text):
        row = read_report(body)
        if (
            len(row) < 6
            or (regions and row["region"] not in regions)
            or (sectors and row["sector"] not in sectors)
        ):
            continue
        if limit := re.search(r"founded before (\d+)", question):
            yield "companies", int(int(row["founded"]) < int(limit[1]))
        elif limit := re.search(r"revenue of more than (\d+)", question):
            yield "companies", int(int(row["revenue"]) > int(limit[1]))
        elif "on average" in question:
            yield "people", int(row["employees"])
            yield "companies", 1
        elif "highest margin" in question:
            yield name, round(10 * float(row["margin"]))
        elif "Which sector" in question:
            yield row["sector"], int(row["revenue"])
        elif "exceed" in question:
            yield row["region"], int(row["revenue"])
        else:
            yield "revenue", int(row["revenue"])


def add_up(question: str, notes: Notes) -> str:
    counts = Counter(notes)
    if "on average" in question:
        answer = f"{counts['people'] / max(1, counts['companies']):.4f}"
    elif "Which" in question:
        answer = max(notes, key=counts.__getitem__, default="none")
    elif "exceed" in question:
        first, second = re.findall(r"companies in ([A-Z]\w+)", question)
        answer = str(counts[first] - counts[second])
    else:
        answer = str(sum(counts.values()))
    return f"The answer is: {answer}"


REPORTS = Skill(r"\bcompan(?:y|ies) in \w+", note_reports, add_up, begins="^=== ")
