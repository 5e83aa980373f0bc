from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from palaestra.arena.judges.registry import AnyJudgeConfig, open_judge
from palaestra.core.verdict import NoVerdict, Verdict
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote
from tests.arena.judges.plans import (
    GROUP,
    TASK,
)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("scripted/judge", "scripted/judge"),
        ("reference/scripted/judge", "reference/scripted/judge"),
        ("pointwise/scripted/judge", "pointwise/scripted/judge"),
        ("listwise/scripted/judge", "listwise/scripted/judge"),
        ("programmatic/trip", "programmatic/trip"),
        ("human", "human"),
        ({"model": "scripted/judge", "rubric": "travel"}, "scripted/judge"),
        (
            {
                "kind": "panel",
                "judges": ["scripted/judge", {"judge": "pointwise/scripted/judge", "weight": 2}],
            },
            "panel(scripted/judge, pointwise/scripted/judge)",
        ),
        (
            {"kind": "annotators", "annotators": ["scripted/judge", "programmatic/trip"]},
            "annotators(scripted/judge, programmatic/trip)",
        ),
    ],
)
def test_every_judge_opens_by_name_or_settings(wanted: object, name: str) -> None:
    schema: TypeAdapter[object] = TypeAdapter(AnyJudgeConfig)
    config = schema.validate_python(wanted)
    assert schema.validate_python(schema.dump_python(config, mode="json")) == config

    async def name_of() -> str:
        async with open_judge(config, seed=1) as judge:  # type: ignore[arg-type]
            return judge.name

    assert asyncio.run(name_of()) == name


def test_a_recorded_judge_opens_with_its_file(tmp_path: Path) -> None:
    votes = (RecordedVote(a="plan-0", b="plan-1", winner="b", judge="j", source="model"),)
    group = JudgedGroup(group="t", prompt="?", candidates={"plan-0": "x", "plan-1": "y"}, votes=votes)
    (tmp_path / "votes.jsonl").write_text(group.model_dump_json())
    schema: TypeAdapter[object] = TypeAdapter(AnyJudgeConfig)

    async def compare() -> Verdict | NoVerdict:
        async with open_judge(schema.validate_python(f"recorded/{tmp_path}/votes.jsonl")) as judge:  # type: ignore[arg-type]
            return await judge.compare(TASK, GROUP[0], GROUP[1])

    judgement = asyncio.run(compare())
    assert isinstance(judgement, Verdict)
    assert judgement.winner == "second"
