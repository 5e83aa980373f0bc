from __future__ import annotations

import asyncio

from palaestra.arena.judges.recorded import RecordedJudge
from palaestra.core.verdict import NoVerdict
from palaestra.datasets.judgements.group import JudgedGroup, RecordedVote
from tests.arena.judges.plans import (
    GROUP,
    TASK,
    ask,
    refuse,
)


def recorded(*votes: dict[str, object]) -> RecordedJudge:
    common = {"a": "plan-0", "b": "plan-1", "judge": "j", "source": "model"}
    group = JudgedGroup(group="t", votes=tuple(RecordedVote.model_validate(common | vote) for vote in votes))
    return RecordedJudge("recorded/test", [group])


def test_recorded_votes_answer_for_their_own_order_first() -> None:
    one, other = GROUP[:2]
    judge = recorded(
        {"winner": "a", "first_shown": "a"},
        {"winner": "b", "first_shown": "b", "scores": (2.0, 6.0)},
    )
    forth, back = ask(judge, [(one, other), (other, one)])
    assert (forth.winner, forth.scores) == ("first", (10, 0))
    assert (back.winner, back.scores) == ("first", (6, 2))
    forth, back = ask(recorded({"winner": "a", "first_shown": "a"}), [(one, other), (other, one)])
    assert (forth.winner, back.winner) == ("first", "second")
    forth, back = ask(recorded({"winner": "tie"}), [(one, other), (other, one)])
    assert (forth.winner, back.scores) == ("tie", (5, 5))


def test_asking_again_gives_the_next_recorded_vote_and_gaps_are_no_verdict() -> None:
    judge = recorded({"winner": None}, {"winner": "b"})
    assert refuse(judge).reason == "the recorded answer of j held no verdict"
    assert ask(judge, [(GROUP[0], GROUP[1])], attempt=1)[0].winner == "second"
    missing = asyncio.run(judge.compare(TASK, GROUP[0], GROUP[2]))
    assert missing == NoVerdict(reason="no vote on plan-0 and plan-2 for t is recorded")
