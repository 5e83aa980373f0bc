from __future__ import annotations

from palaestra.arena.judges.reference import ReferenceJudge, ReferenceJudgeConfig
from tests.arena.judges.plans import (
    GROUP,
    MODEL,
    TASK,
    Listener,
    ask,
    refuse,
    scripted,
)


def test_the_reference_is_shown_as_part_of_the_task_and_must_be_there() -> None:
    listener = Listener()
    judge = ReferenceJudge(scripted(listener), ReferenceJudgeConfig(model=MODEL))
    [verdict] = ask(judge, [(GROUP[0], GROUP[7])])
    assert verdict.winner == "second"
    task, _, contestants = listener.requests[0].partition("end of task")
    assert "[reference answer, known to be good]\n> Serralves.\n" in task
    assert "known to be good" not in contestants
    without = refuse(judge, TASK.model_copy(update={"reference": None}))
    assert "has no reference answer" in without.reason
    assert without.usage.calls == 0
