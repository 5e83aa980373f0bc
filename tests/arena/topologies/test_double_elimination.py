from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.arena.topologies.double_elimination import DoubleEliminationConfig
from palaestra.arena.topologies.registry import (
    topology,
)
from tests.arena.topologies.boards import (
    by_strength,
    law,
    names,
    noisy,
    play,
    seeds,
)


@law
@given(st.integers(min_value=1, max_value=33), st.booleans(), seeds, st.sampled_from(["anchor", "lot"]))
def test_two_defeats_and_no_fewer_are_out(count: int, reset: bool, luck: int, seeding: str) -> None:
    config = DoubleEliminationConfig.model_validate({"seeding": seeding, "reset": reset})
    board = topology(config, names(count), luck)
    defeats: Counter[str] = Counter()
    outcome = noisy(luck)

    def no_draws(pairing: Pairing) -> Outcome:
        points = outcome(pairing)
        assert points is not None
        first_wins = points.first >= points.second
        if pairing.stage != "seeding":
            assert max(defeats[pairing.first], defeats[pairing.second]) < 2
            defeats[pairing.second if first_wins else pairing.first] += 1
        return Outcome(float(first_wins), float(not first_wins))

    played = play(board, no_draws)
    assert len(played) <= board.match_count
    champion = board.ranking().standings[0].contestant
    finals = [pairing for pairing in played if pairing.stage.endswith("final")]
    if count > 1:
        assert all(defeats[name] == 2 for name in names(count) if name not in finals[-1][1:])
        assert champion in finals[-1][1:]
        assert not reset or defeats[champion] < 2
        assert len(finals) == 1 or reset


def test_double_elimination_by_hand() -> None:
    """Four, seeded by lot. The strongest two meet in the winners' final, and again in the final."""
    strengths = by_strength({"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0})
    for seed in range(10):
        board = topology(DoubleEliminationConfig(seeding="lot"), list("abcd"), seed)
        stages = Counter(pairing.stage for pairing in play(board, strengths))
        assert stages == {
            "winners' round 1": 2,
            "winners' round 2": 1,
            "losers' round 1": 1,
            "losers' round 2": 1,
            "final": 1,
        }
        assert list(board.ranking().ranks) == list("abcd")


def test_the_second_final_decides_when_the_first_is_the_winners_only_defeat() -> None:
    board = topology(DoubleEliminationConfig(seeding="lot", reset=True), ["a", "b"])
    wins = {"winners' round 1": "a", "final": "b", "second final": "b"}

    def outcome(pairing: Pairing) -> Outcome:
        first_wins = pairing.first == wins[pairing.stage]
        return Outcome(float(first_wins), float(not first_wins))

    assert [pairing.stage for pairing in play(board, outcome)] == list(wins)
    assert board.ranking().ranks == {"b": 0, "a": 1}


def test_brackets_overlap() -> None:
    """The losers of a first round meet as soon as both are known, while the winners' bracket goes on."""
    board = topology(DoubleEliminationConfig(seeding="lot"), names(8))
    first_round = board.ready()
    for pairing in (first_round[0], first_round[-1]):  # first against last seed, fourth against fifth
        board.record(pairing, Outcome(1, 0))
    assert {pairing.stage for pairing in board.ready()} == {"winners' round 2", "losers' round 1"}
