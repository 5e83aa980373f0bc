"""Double elimination: who loses a second time is out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Literal, NamedTuple

from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.knockout import Knockout, standard_order
from palaestra.arena.topologies.scorebook import means
from palaestra.core.ranking import Ranking

FINAL = "final"
SECOND_FINAL = "second final"


class DoubleEliminationConfig(ClassicalConfig):
    name: Literal["double-elimination"] = "double-elimination"
    seeding: Literal["anchor", "lot"] = "anchor"
    """anchor: everyone meets the first contestant before, as in single elimination; lot: seeds are drawn."""
    reset: bool = False
    """Whether a second final is played when the winner of the winners' bracket loses the first."""


class _Match(NamedTuple):
    """A match of the bracket. Whoever comes to a place, a number, plays the match that it leads to."""

    stage: str
    upper: int
    lower: int
    winner: int
    """The place to which the winner goes."""
    loser: int
    out: int
    """The round in which the loser is out, counted through the losers' bracket; 0 in the winners'."""


class DoubleElimination(Knockout):
    """2(N-1) matches, N-1 more for the seeds where the anchor gives them, one more for a second final.

    Losers of the winners' bracket, which is that of single elimination, go on in the losers' bracket; the
    winners of both meet in the final. A match is ready as soon as both sides are known, so the two brackets
    overlap. When N is not a power of two the missing opponents are those of the top seeds. Greater points
    win; a draw or a match without a verdict goes to the better seed.

    Ranked by the round of the last defeat, within a round by mean points over all of one's matches, where
    equal means share a rank. `score` is that mean. When all matches are draws and all means equal, everyone
    shares the first rank.
    """

    def __init__(self, contestants: Sequence[str], seed: int, config: DoubleEliminationConfig) -> None:
        self._reset = config.reset
        self._leads_to: dict[int, _Match] = {}
        self._matches: dict[Pairing, _Match] = {}
        self._out: dict[str, int] = {}
        """The round in which a contestant was."""
        super().__init__(contestants, seed, by_lot=config.seeding == "lot")
        rivals = len(contestants) - 1
        self.match_count = self._unseeded + 2 * rivals + (config.reset and rivals > 0)

    def ranking(self) -> Ranking:
        points = means(self._book.points)
        if self._book.is_level:
            return self._book.ranking(self._book.points, order=points)
        still_in = 2 * len(points)
        order = {name: (self._out.get(name, still_in), points[name]) for name in points}
        return self._book.ranking(self._book.points, order)

    def _draw_up_bracket(self, by_seed: Sequence[str]) -> None:
        size = 1 << (len(by_seed) - 1).bit_length()
        for match in _bracket(size):
            self._leads_to[match.upper] = self._leads_to[match.lower] = match
        for seed in range(size):
            self._occupy(seed, by_seed[seed] if seed < len(by_seed) else None)

    def _advance(self, pairing: Pairing, outcome: Outcome | None) -> None:
        match = self._matches[pairing]
        winner, loser = self._decide(pairing, outcome)
        if self._reset and match.stage == FINAL and winner == self._occupants[match.lower]:
            self._meet(match._replace(stage=SECOND_FINAL), winner, loser)
            return
        if match.out:
            self._out[loser] = match.out
        self._occupy(match.winner, winner)
        self._occupy(match.loser, loser)

    def _occupy(self, place: int, contestant: str | None) -> None:
        """Put a contestant, or nobody, into a place; with the other side known, play or give the bye."""
        self._occupants[place] = contestant
        match = self._leads_to.get(place)
        if match is None or not {match.upper, match.lower} <= self._occupants.keys():
            return
        upper, lower = self._occupants[match.upper], self._occupants[match.lower]
        if upper is None or lower is None:
            self._occupy(match.winner, lower if upper is None else upper)
            self._occupy(match.loser, None)
        else:
            self._meet(match, upper, lower)

    def _meet(self, match: _Match, *sides: str) -> None:
        self._matches[self._play(match.stage, *sides)] = match


def _bracket(size: int) -> Iterator[_Match]:
    """The matches for `size` seeds, a power of two; places 0 to size-1 are those of the seeds.

    In every round of the winners' bracket the losers drop into the losers' bracket, where they meet those
    who survived there, turned over or with halves exchanged, so that whoever met before meets late again;
    between two such rounds the survivors meet each other.
    """
    places = count(size)
    above, below, out = standard_order(size), [], 0
    for round in range(1, size.bit_length()):
        played = [
            _Match(f"winners' round {round}", *sides, next(places), next(places), out=0)
            for sides in _pairs(above)
        ]
        yield from played
        above, dropped = [match.winner for match in played], [match.loser for match in played]
        if round == 1:
            below = dropped
        else:
            half = len(dropped) // 2
            dropped = dropped[half:] + dropped[:half] if round % 2 else dropped[::-1]
            out += 1
            meet = [_losers_match(out, *sides, places) for sides in zip(below, dropped, strict=True)]
            yield from meet
            below = [match.winner for match in meet]
        if len(below) > 1:
            out += 1
            meet = [_losers_match(out, *sides, places) for sides in _pairs(below)]
            yield from meet
            below = [match.winner for match in meet]
    if below:
        yield _Match(FINAL, above[0], below[0], next(places), next(places), out=out + 1)


def _pairs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(places[::2], places[1::2], strict=True)


def _losers_match(out: int, upper: int, lower: int, places: Iterator[int]) -> _Match:
    return _Match(f"losers' round {out}", upper, lower, next(places), next(places), out)
