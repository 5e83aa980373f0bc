"""Reading recorded judgements, in whichever published form they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from palaestra.core.errors import DataError
from palaestra.datasets.judgements.alpaca_eval import AlpacaAnnotation, AlpacaOutput
from palaestra.datasets.judgements.arena_hard import ArenaHardAnswer, ArenaHardJudgment, ArenaHardQuestion
from palaestra.datasets.judgements.conversations import ConversationVote
from palaestra.datasets.judgements.group import JudgedGroup
from palaestra.datasets.judgements.judge_bench import JudgeBenchPair
from palaestra.datasets.judgements.pairs import LabelledPair
from palaestra.datasets.judgements.reward_bench import RewardBenchPrompt
from palaestra.datasets.rows import Row, read_rows
from palaestra.datasets.source import DataSource

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")


class RowForm(Protocol):
    """A pydantic model of one published form."""

    def group(self) -> JudgedGroup:
        """What the row tells of a group; rows of one group are put together."""
        ...


FORMS: Mapping[str, type[BaseModel]] = {
    "a group with its votes": JudgedGroup,
    "a labelled pair": LabelledPair,
    "MT-bench or Chatbot Arena": ConversationVote,
    "JudgeBench": JudgeBenchPair,
    "RewardBench": RewardBenchPrompt,
    "AlpacaEval annotations": AlpacaAnnotation,
    "AlpacaEval outputs": AlpacaOutput,
    "Arena-Hard judgements": ArenaHardJudgment,
    "Arena-Hard answers": ArenaHardAnswer,
    "Arena-Hard questions": ArenaHardQuestion,
}
"""Tried in this order: a row has the first form whose required fields it has."""


def load_judgements(path: str | Path) -> list[JudgedGroup]:
    """The groups in a file, or in all files of a folder and below; the form is told by the rows' columns.

    Raises:
        DataError: nothing can be read, a row has no known form, or a group has no prompt or a vote on a
            candidate without an answer.
    """
    groups: dict[str, JudgedGroup] = {}
    for file in _files(Path(path)):
        for row in read_rows(DataSource(path=str(file))):
            new = _group(row)
            groups[new.group] = _joined(groups[new.group], new) if new.group in groups else new
    for group in groups.values():
        named = {name for vote in group.votes for name in (vote.a, vote.b)}
        if missing := named - set(group.candidates):
            raise DataError(f"{path}: group {group.group} has no answer of {min(missing)!r}; add its file")
        if not group.prompt:
            raise DataError(f"{path}: group {group.group} has no prompt; add the file of questions")
    if not groups:
        raise DataError(f"{path} holds no judgements; check the path")
    return list(groups.values())


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)


def _group(row: Row) -> JudgedGroup:
    form = next((form for form in FORMS.values() if _fits(form, row.values)), None)
    if form is None:
        raise DataError(
            f"{row.place} has the columns {', '.join(row.values)}, which are those of no known form: "
            f"{', '.join(FORMS)}"
        )
    try:
        read: Any = form.model_validate(row.values)
        return read if isinstance(read, JudgedGroup) else read.group()
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise DataError(f"{row.place}: {place}: {problem['msg']}; correct the row") from error


def _fits(form: type[BaseModel], values: Mapping[str, Any]) -> bool:
    wanted = [_names(name, field) for name, field in form.model_fields.items() if field.is_required()]
    if form is JudgedGroup:
        wanted = [("group",), ("candidates",), ("votes",)]
    return all(any(name in values for name in names) for names in wanted)


def _names(name: str, field: FieldInfo) -> tuple[str, ...]:
    alias = field.validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (name,)


def _joined(known: JudgedGroup, new: JudgedGroup) -> JudgedGroup:
    return known.model_copy(
        update={
            "prompt": known.prompt or new.prompt,
            "candidates": {**known.candidates, **new.candidates},
            "votes": known.votes + new.votes,
        }
    )


def write_judgements(groups: Iterator[JudgedGroup], file: Path) -> int:
    """Write groups as JSONL, one per line, so that `load_judgements` reads them back; gives their number."""
    count = 0
    with file.open("w", encoding="utf-8") as lines:
        for group in groups:
            lines.write(group.model_dump_json() + "\n")
            count += 1
    return count
