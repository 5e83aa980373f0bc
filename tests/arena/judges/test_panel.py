from __future__ import annotations

from collections.abc import Sequence

import pytest

from palaestra.arena.judges.panel import Member, PanelJudge
from palaestra.core.errors import ModelError, ModelUnreachable
from tests.arena.judges.plans import (
    GROUP,
    Fixed,
    ask,
    refuse,
)


def panel(
    *says: tuple[float, float] | str | ModelError, weights: Sequence[float] = (), **rest: object
) -> PanelJudge:
    judges = [Fixed(f"j{number}", each) for number, each in enumerate(says)]
    members = [Member(*pair) for pair in zip(judges, weights or [1.0] * len(judges), strict=True)]
    return PanelJudge(members, **rest)  # type: ignore[arg-type]


def test_a_panel_takes_the_mean_or_the_votes_by_weight() -> None:
    pair = [(GROUP[0], GROUP[1])]
    says = ((9.0, 1.0), (4.0, 6.0), (5.0, 6.0))
    [mean] = ask(panel(*says), pair)
    assert mean.winner == "first"
    assert mean.scores == pytest.approx((6, 13 / 3))
    [vote] = ask(panel(*says, rule="vote"), pair)
    assert vote.winner == "second"
    assert vote.scores == pytest.approx((10 / 3, 20 / 3))
    [heavy] = ask(panel(*says, rule="vote", weights=(3, 1, 1)), pair)
    assert heavy.scores == (6, 4)
    assert [member.winner for member in vote.votes] == ["first", "second", "second"]
    assert vote.disagreement == pytest.approx(1 / 3)
    assert mean.disagreement == pytest.approx(2 / 3)
    [split] = ask(panel((7, 7), (9, 1), (1, 9), rule="vote"), pair)
    assert split.winner == "tie"
    assert split.disagreement == pytest.approx(2 / 3)


def test_a_panel_needs_its_quorum_and_records_who_was_missing() -> None:
    down = ModelUnreachable("m: no answer")
    [two_of_three] = ask(panel((9, 1), "garbage", (7, 3)), [(GROUP[0], GROUP[1])])
    assert two_of_three.scores == (8, 2)
    assert [(vote.winner, vote.reason) for vote in two_of_three.votes][1] == (None, "garbage")
    short = refuse(panel((9, 1), "garbage", down))
    assert "1 of 3 judges gave a verdict and 2 must (j1: garbage)" in short.reason
    assert [vote.winner for vote in short.votes] == ["first", None, None]
    [alone] = ask(panel((9, 1), "garbage", down, quorum=1), [(GROUP[0], GROUP[1])])
    assert alone.scores == (9, 1)
    with pytest.raises(ModelUnreachable):
        refuse(panel(down, down))


def test_members_of_a_panel_have_names_of_their_own() -> None:
    twins = [Member(Fixed("m", says), 1.0) for says in ((9.0, 1.0), (8.0, 2.0), (1.0, 9.0))]
    judge = PanelJudge([*twins, Member(Fixed("n", (9, 1)), 1.0)])
    [verdict] = ask(judge, [(GROUP[0], GROUP[1])])
    assert [vote.judge for vote in verdict.votes] == ["m", "m#2", "m#3", "n"]
    assert judge.name == "panel(m, m#2, m#3, n)"
