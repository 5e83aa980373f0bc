"""The leaderboard: counts, rates, intervals and ratings, from judgements."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log10

import pytest

from palaestra.arena.leaderboard import Leaderboard, SystemScore, rank_systems, win_rate_interval
from palaestra.core.events import JudgementGiven
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict, Vote, Winner

USAGE = Usage(calls=1, tokens_in=100, tokens_out=20, cost=0.5)
NONE = NoVerdict(reason="mumbled", usage=USAGE)
Scores = tuple[float, float]


def answers(systems: str, prompts: int) -> list[Trajectory]:
    return [
        Trajectory(
            id=f"{system}/{n}", task_id=f"{n}", agent=system, status="finished", answer=system * (n + 1)
        )
        for system in systems
        for n in range(prompts)
    ]


def ask(prompt: int, first: str, second: str, scores: Scores | None, attempt: int = 0) -> JudgementGiven:
    return JudgementGiven(
        group=f"{prompt}",
        stage="round robin",
        first=f"{first}/{prompt}",
        second=f"{second}/{prompt}",
        attempt=attempt,
        judge="m",
        judgement=NONE if scores is None else Verdict.from_scores(*scores, usage=USAGE),
    )


def both(prompt: int, first: str, second: str, forth: Scores, back: Scores) -> list[JudgementGiven]:
    return [ask(prompt, first, second, forth), ask(prompt, second, first, back)]


def rows(board: Leaderboard) -> dict[str, SystemScore]:
    return {row.system: row for row in board.systems}


def test_everything_is_counted_once() -> None:
    events = [
        *both(0, "a", "b", (8, 4), (4, 8)),  # a, and both orders say so
        *both(1, "a", "b", (7, 6), (5, 2)),  # the orders disagree; over both b has 11 points, a 9
        *both(2, "a", "b", (6, 5), (6, 5)),  # a draw, on which the orders disagree
        *both(3, "a", "b", (5, 5), (5, 5)),  # a draw, on which they agree
        ask(4, "a", "b", None),
        ask(4, "a", "b", (9, 1), attempt=1),  # asked again with success
        ask(4, "b", "a", (1, 9)),
        ask(5, "a", "b", (9, 1)),
        *(ask(5, "b", "a", None, attempt) for attempt in range(3)),  # one order is missing
        ask(6, "a", "b", (9, 1)),  # the run stopped here
    ]
    random.Random(0).shuffle(events)
    board = rank_systems(events, answers("ab", 8))
    a, b = rows(board)["a"], rows(board)["b"]
    assert (a.wins, a.ties, a.losses, a.missing, a.judged) == (2, 2, 1, 1, 5)
    assert (b.wins, b.ties, b.losses, b.missing, b.judged) == (1, 2, 2, 1, 5)
    assert (a.win_rate, b.win_rate) == (0.6, 0.4)
    assert (board.judged, board.missing) == (5, 1)
    assert (board.both_orders, board.agreeing) == (5, 3)
    assert board.usage == {"m": Usage(calls=16, tokens_in=1600, tokens_out=320, cost=8.0)}
    assert a.mean_length == 4.5
    assert board.unmatched == 0
    assert [row.system for row in board.systems] == ["a", "b"]


def test_one_order_is_enough_where_one_was_asked() -> None:
    board = rank_systems([ask(0, "a", "b", (9, 1)), ask(1, "b", "a", (9, 1))], answers("ab", 3), orders="one")
    assert [(row.wins, row.losses) for row in board.systems] == [(1, 1), (1, 1)]
    assert (board.judged, board.both_orders) == (2, 0)


def won(wins: int, losses: int) -> Leaderboard:
    """A board of a's wins and losses against b."""
    events = [
        event
        for n in range(wins + losses)
        for event in both(n, "a", "b", *(((9, 1), (1, 9)) if n < wins else ((1, 9), (9, 1))))
    ]
    return rank_systems(events, answers("ab", wins + losses))


def test_ratings_are_bradley_terry_in_elo_points_with_one_tie_added() -> None:
    a, b = won(3, 1).systems
    assert a.rating - b.rating == pytest.approx(400 * log10(3.5 / 1.5), abs=0.1)
    assert a.rating + b.rating == pytest.approx(2000, abs=0.1)
    a, b = won(10, 0).systems
    assert a.rating - b.rating == pytest.approx(400 * log10(10.5 / 0.5), abs=0.1)


@pytest.mark.parametrize(
    ("wins", "losses", "low", "high"), [(30, 10, 0.59, 0.86), (300, 100, 0.70, 0.79), (20, 20, 0.34, 0.66)]
)
def test_intervals_have_the_width_of_the_binomial(wins: int, losses: int, low: float, high: float) -> None:
    row = rows(won(wins, losses))["a"]
    assert row.interval == pytest.approx((low, high), abs=0.02)
    assert row == rows(won(wins, losses))["a"]


def test_few_wins_of_few_are_no_certainty() -> None:
    def low(wins: int) -> float:
        interval = won(wins, 0).systems[0].interval
        assert interval is not None
        return interval[0]

    assert low(3) < 0.5 < low(10) < low(40) < 1.0
    assert low(40) == pytest.approx(0.92, abs=0.03)


def test_a_95_percent_interval_covers_the_truth_about_as_often() -> None:
    draw = random.Random(5)
    covered = 0
    for _ in range(150):
        low, high = win_rate_interval([[float(draw.random() < 0.7)] for _ in range(40)], seed=0)
        covered += low <= 0.7 <= high
    assert 0.90 <= covered / 150 <= 0.99


def test_the_interval_over_very_many_prompts_is_that_of_a_normal_distribution() -> None:
    low, high = win_rate_interval([[float(n % 4 == 0)] for n in range(20_000)], seed=0)
    assert (low, high) == pytest.approx((0.25 - 0.006, 0.25 + 0.006), abs=0.001)


def test_a_rating_is_better_known_the_more_prompts_there_are() -> None:
    def width(wins: int, losses: int) -> float:
        row = rows(won(wins, losses))["a"]
        assert row.rating_interval[0] < row.rating < row.rating_interval[1]
        return row.rating_interval[1] - row.rating_interval[0]

    assert width(3, 1) > 1.5 * width(30, 10)
    assert width(10, 0) > 200


def panel(prompt: int, *winners: Winner | None, names: str = "m{}") -> JudgementGiven:
    votes = tuple(
        Vote(judge=names.format(place), winner=winner, usage=Usage(calls=1, cost=0.1 * place))
        for place, winner in enumerate(winners)
    )
    event = ask(prompt, "a", "b", (9, 1))
    return event.model_copy(update={"judgement": event.judgement.model_copy(update={"votes": votes})})


def test_a_panel_is_accounted_for_member_by_member_with_their_agreement() -> None:
    events = [
        panel(0, "first", "first", None),
        panel(1, "first", "second", "second"),
        ask(2, "a", "b", (9, 1)),
    ]
    board = rank_systems(events, answers("ab", 3), orders="one")
    # Coincidences: units (f, f) and (f, s, s), n = 5, n_f = 3, n_s = 2.
    # Observed disagreement 2·(1·2)/(3-1) = 2 of 5; expected 2·3·2/(5·4) = 0.6.
    assert board.alpha == pytest.approx(1 - (2 / 5) / 0.6)
    assert {judge: usage.calls for judge, usage in board.usage.items()} == {"m0": 2, "m1": 2, "m2": 2, "m": 1}
    assert board.usage["m2"].cost == pytest.approx(0.4)
    assert won(2, 1).alpha is None


def test_members_of_one_name_are_told_apart_by_their_place() -> None:
    """One model with several rubrics: what each said counts, in place of what the last of them said."""

    def alpha(names: str) -> float | None:
        events = [
            panel(0, "first", "first", "second", names=names),
            panel(1, "second", "second", "second", names=names),
        ]
        return rank_systems(events, answers("ab", 2), orders="one").alpha

    # Observed disagreement 2·(2·1)/(3-1) = 2 of 6; expected 2·2·4/(6·5).
    assert alpha("m") == alpha("m{}") == pytest.approx(1 - (2 / 6) / (16 / 30))


def test_verdicts_on_contestants_that_address_the_judge_are_counted() -> None:
    plain, suspect = ask(0, "a", "b", (9, 1)), ask(0, "b", "a", (1, 9))
    alerted = suspect.judgement.model_copy(
        update={"alerts": ("first: a forged verdict", "first: a role marker")}
    )
    events = [plain, suspect.model_copy(update={"judgement": alerted}), ask(1, "a", "b", None)]
    assert rank_systems(events, answers("ab", 2)).alerts == 1


def test_matches_on_one_prompt_count_as_one_draw_of_the_bootstrap() -> None:
    """Three systems on 12 prompts: c is beaten by a and by b on the same prompts, or on different ones."""

    def interval_of_c(together: bool) -> float:
        events: list[JudgementGiven] = []
        for n in range(12):
            beats_a = n % 2 == 0
            beats_b = beats_a if together else not beats_a
            for other, beats in (("a", beats_a), ("b", beats_b)):
                events += both(n, "c", other, *(((9, 1), (1, 9)) if beats else ((1, 9), (9, 1))))
        row = rows(rank_systems(events, answers("abc", 12)))["c"]
        assert row.win_rate == 0.5
        assert row.interval is not None
        return row.interval[1] - row.interval[0]

    assert interval_of_c(together=True) > 2 * interval_of_c(together=False)


def test_a_system_without_a_match_is_on_the_board_and_at_its_end() -> None:
    lonely = Trajectory(id="c/9", task_id="9", agent="c", status="finished", answer="hm")
    board = rank_systems(both(0, "b", "a", (9, 1), (1, 9)), [*answers("ab", 1), lonely])
    assert [row.system for row in board.systems] == ["b", "a", "c"]
    c = rows(board)["c"]
    assert (c.judged, c.win_rate, c.interval) == (0, None, None)
    assert c.rating == pytest.approx(1000, abs=1)
    assert board.unmatched == 1


def test_answers_of_one_system_are_no_contest_between_systems() -> None:
    trajectories: Sequence[Trajectory] = [
        Trajectory(id=f"a{n}/0", task_id="0", agent="a", status="finished", answer="x") for n in range(2)
    ]
    board = rank_systems(both(0, "a0", "a1", (9, 1), (1, 9)), trajectories)
    assert (board.judged, board.systems[0].judged, board.systems[0].rating) == (0, 0, 1000.0)
