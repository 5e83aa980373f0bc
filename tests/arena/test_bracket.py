"""The bracket as text."""

from __future__ import annotations

from palaestra.arena.bracket import render
from palaestra.arena.topologies.base import Outcome
from palaestra.arena.topologies.single_elimination import SingleElimination

STRENGTHS = {"anchor": 6.0, "brave": 8.25, "calm": 4.0, "dull": 2.0, "eager": 5.0}

AFTER_THE_SEEDING = """\
quarter-final    semi-final    final    champion
1 brave       ─┐
               ├ 1 brave    ─┐
bye           ─┘             │
                             ├ ?     ─┐
4 calm        ─┐             │        │
               ├ ?          ─┘        │
5 dull        ─┘                      │
                                      ├ ?
2 anchor      ─┐                      │
               ├ 2 anchor   ─┐        │
bye           ─┘             │        │
                             ├ ?     ─┘
3 eager       ─┐             │
               ├ 3 eager    ─┘
bye           ─┘"""

AT_THE_END = """\
quarter-final    semi-final       final            champion
1 brave       ─┐
               ├ 1 brave  8.25 ─┐
bye           ─┘                │
                                ├ 1 brave  8.25 ─┐
4 cold   4.00 ─┐                │                │
               ├ 4 cold   4.00 ─┘                │
5 dull   2.00 ─┘                                 │
                                                 ├ brave
2 anchor      ─┐                                 │
               ├ 2 anchor 6.00 ─┐                │
bye           ─┘                │                │
                                ├ 2 anchor 6.00 ─┘
3 eager       ─┐                │
               ├ 3 eager  5.00 ─┘
bye           ─┘"""


def test_a_bracket_reads_from_left_to_right() -> None:
    board = SingleElimination(list(STRENGTHS))
    assert render(board.bracket) == "(the seeds are not known yet)"
    for pairing in board.ready():
        board.record(pairing, Outcome(STRENGTHS[pairing.first], STRENGTHS[pairing.second]))
    drawn_up = render(board.bracket)
    while ready := board.ready():
        for pairing in ready:
            board.record(pairing, Outcome(STRENGTHS[pairing.first], STRENGTHS[pairing.second]))
    assert drawn_up == AFTER_THE_SEEDING
    assert render(board.bracket, labels={"calm": "cold"}) == AT_THE_END


def test_one_contestant_is_the_champion() -> None:
    assert render(SingleElimination(["only"]).bracket) == "only"
