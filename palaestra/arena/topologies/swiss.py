"""Swiss: a few rounds in which everyone meets somebody of equal success."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import networkx
from pydantic import Field

from palaestra.arena.topologies.base import ClassicalConfig, Outcome, Pairing
from palaestra.arena.topologies.scorebook import Scorebook, means
from palaestra.core.ranking import Ranking

NEIGHBOURS = 8
"""How far down the table an opponent is looked for at first; matching everyone with everyone takes longer."""
POINTS, REMATCH = 10**4, 10**9
"""What half a point of difference and a rematch cost in the matching, where two who were both first once too
often cost 4: more than everything of the lesser kind together."""


class SwissConfig(ClassicalConfig):
    name: Literal["swiss"] = "swiss"
    rounds: int | None = Field(default=None, ge=1)
    """null is ⌈log2 N⌉; never more than N-1."""


class Swiss:
    """About N/2 matches in each of ⌈log2 N⌉ rounds; the first is drawn by lot.

    A round pairs everyone by a matching of maximum weight, in which a pair costs the square of its
    difference in points: 1 for a win, ½ for a draw and for a match without a verdict. Nobody meets an
    opponent again while another way is left, and among equals those meet of whom one was named first too
    often and the other too rarely. With N odd, one of those with fewest points who had no bye yet gets it,
    and a point.

    Ranked by points, then by the sum of the opponents' points (Buchholz), then by the mean points that the
    judge gave; contestants that are equal in all share a rank. `score` is the share of points won. When all
    matches are draws and all means equal, everyone shares the first rank, bye or not.
    """

    orders = None

    def __init__(self, contestants: Sequence[str], seed: int, config: SwissConfig) -> None:
        self._book = Scorebook(contestants)
        self._lots = random.Random(seed).sample(contestants, len(contestants))
        most = len(contestants) - 1
        self._rounds = min(most, config.rounds or most.bit_length())
        self.match_count = self._rounds * (len(contestants) // 2)
        self._round = 0
        self._under_way = 0
        self._waiting: list[Pairing] = []
        self._won: dict[str, list[float]] = {contestant: [] for contestant in contestants}
        """Points of each round so far."""
        self._opponents: dict[str, list[str]] = {contestant: [] for contestant in contestants}
        self._had_bye: set[str] = set()
        self._balance: Counter[str] = Counter()
        """Times that a contestant was named first, minus times that it was second."""
        self._start_round()

    def ready(self) -> Sequence[Pairing]:
        handed_out, self._waiting = self._book.hand_out(self._waiting), []
        return handed_out

    def record(self, pairing: Pairing, outcome: Outcome | None) -> None:
        self._book.record(pairing, outcome)
        first, second = pairing.first, pairing.second
        decided = outcome is not None and outcome.first != outcome.second
        self._won[first].append(self._book.wins[first][-1] if decided else 0.5)
        self._won[second].append(self._book.wins[second][-1] if decided else 0.5)
        self._under_way -= 1
        if not self._under_way:
            self._start_round()

    def ranking(self) -> Ranking:
        points = means(self._book.points)
        if self._book.is_level:
            return self._book.ranking(self._book.wins, order=points)
        total = {name: sum(won) for name, won in self._won.items()}
        buchholz = {name: sum(total[other] for other in met) for name, met in self._opponents.items()}
        order = {name: (total[name], buchholz[name], points[name]) for name in total}
        return self._book.ranking(self._won, order)

    def _start_round(self) -> None:
        if self._round == self._rounds:
            return
        self._round += 1
        total = {name: sum(won) for name, won in self._won.items()}
        table = sorted(self._lots, key=lambda name: -total[name])
        for upper, lower in self._matching(table, total):
            if lower is None:
                self._had_bye.add(upper)
                self._won[upper].append(1.0)
                continue
            self._opponents[upper].append(lower)
            self._opponents[lower].append(upper)
            first, second = sorted(
                (upper, lower), key=lambda name: (self._balance[name], self._lots.index(name))
            )
            self._balance[first] += 1
            self._balance[second] -= 1
            self._waiting.append(Pairing(f"round {self._round}", first, second))
        self._under_way = len(self._waiting)

    def _matching(self, table: list[str], total: dict[str, float]) -> list[tuple[str, str | None]]:
        """Everyone in a pair, the better placed first; None is the bye."""
        everyone = len(table) + len(table) % 2
        for reach in (NEIGHBOURS, everyone):
            pairs = networkx.max_weight_matching(self._graph(table, total, reach), maxcardinality=True)
            if 2 * len(pairs) == everyone:
                break
        seated = [*table, None]
        return [(table[min(pair)], seated[max(pair)]) for pair in sorted(map(sorted, pairs))]

    def _graph(self, table: list[str], total: dict[str, float], reach: int) -> networkx.Graph[int]:
        """Who may meet, places of the table for nodes; the place behind the last is the bye's, for N odd."""
        graph: networkx.Graph[int] = networkx.Graph()
        everyone = len(table) + len(table) % 2
        for upper, name in enumerate(table):
            for lower, other in enumerate(table[upper + 1 : upper + 1 + reach], start=upper + 1):
                again = other in self._opponents[name]
                if not again or reach == everyone:
                    cost = POINTS * _square(2 * (total[name] - total[other])) + REMATCH * again
                    graph.add_edge(
                        upper, lower, weight=-cost - (self._balance[name] + self._balance[other]) ** 2
                    )
            if everyone > len(table) and name not in self._had_bye:
                graph.add_edge(
                    upper, len(table), weight=-POINTS * _square(2 * (total[name] - total[table[-1]]))
                )
        return graph


def _square(half_points: float) -> int:
    return round(half_points) ** 2
