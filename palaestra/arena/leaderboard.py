"""What judgements over many prompts say of the systems that gave the answers."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import evalica
import numpy as np
import pandas as pd

from palaestra.arena.comparisons import Comparisons, rate_interval
from palaestra.arena.match import Order, outcome_of
from palaestra.arena.topologies.base import Orders, Pairing
from palaestra.core.events import JudgementGiven
from palaestra.core.record import Record
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict, Vote, Winner


class SystemScore(Record):
    """One row of the board."""

    system: str
    wins: int
    ties: int
    losses: int
    missing: int
    """Matches without a verdict; they count for nobody."""
    win_rate: float | None
    """Share of judged matches that were won, a tie being half a win; None without any."""
    interval: tuple[float, float] | None
    """95 % interval of the win rate, by bootstrap over prompts."""
    rating: float
    """Bradley-Terry strength in Elo points: 1000 on average, 400 points are odds of ten to one."""
    rating_interval: tuple[float, float]
    """95 % interval of the rating, by bootstrap over prompts."""
    mean_length: float
    """Characters of an answer."""

    @property
    def judged(self) -> int:
        return self.wins + self.ties + self.losses


class Leaderboard(Record):
    systems: tuple[SystemScore, ...]
    """Best win rate first."""
    judged: int
    """Matches with an outcome."""
    missing: int
    both_orders: int
    """Matches judged in both orders."""
    agreeing: int
    """Those of them in which both orders name the same winner."""
    unmatched: int
    """Prompts with one answer only, which nobody could be compared on."""
    alerts: int
    """Verdicts, of all that were given, with a sign that a contestant wrote to the judge."""
    usage: Mapping[str, Usage]
    """By judge, each member of a panel by itself; answers without a verdict included."""
    alpha: float | None
    """Krippendorff's alpha of the members of a panel on who won: 1 is full agreement, 0 is chance; None
    where no question has two opinions."""


class _Answer(NamedTuple):
    """What the board must know of a trajectory."""

    system: int
    prompt: int


def rank_systems(
    events: Iterable[JudgementGiven],
    trajectories: Iterable[Trajectory],
    orders: Orders = "both",
    seed: int = 0,
) -> Leaderboard:
    """Score the systems, that is the `agent`s of the trajectories, on all matches between two of them.

    A match that was not asked in every order (the run stopped before) is left out. The events of a pair in
    one order come as they were asked; of a match that is decided only the result is kept in memory.
    """
    board = _Board(trajectories, orders)
    for event in events:
        board.add(event)
    return board.close(seed)


class _Board:
    """A leaderboard in the making."""

    def __init__(self, trajectories: Iterable[Trajectory], orders: Orders) -> None:
        self._needed = 2 if orders == "both" else 1
        self._systems: dict[str, int] = {}
        self._answers: dict[str, _Answer] = {}
        self._lengths: dict[str, list[int]] = defaultdict(list)
        self._open: dict[tuple[str, str, frozenset[str]], dict[Order, Verdict | NoVerdict]] = defaultdict(
            dict
        )
        self._first, self._second, self._prompt = array("q"), array("q"), array("q")
        self._won = array("d")
        self._missing: Counter[int] = Counter()
        self._undecided = self._two_way = self._agreeing = self._alerts = 0
        self._usage: dict[str, Usage] = defaultdict(Usage)
        self._votes = _Votes()
        prompts: dict[str, int] = {}
        for trajectory in trajectories:
            self._answers[trajectory.id] = _Answer(
                self._systems.setdefault(trajectory.agent, len(self._systems)),
                prompts.setdefault(trajectory.task_id, len(prompts)),
            )
            self._lengths[trajectory.agent].append(len(trajectory.answer))

    def add(self, event: JudgementGiven) -> None:
        judgement = event.judgement
        for judge, usage in usage_by_judge(event):
            self._usage[judge] += usage
        self._votes.add(judgement.votes)
        self._alerts += isinstance(judgement, Verdict) and bool(judgement.alerts)
        first, second = self._answers[event.first].system, self._answers[event.second].system
        if first == second:
            return
        key = (event.group, event.stage, frozenset((event.first, event.second)))
        asked = self._open[key]
        asked[event.first, event.second] = judgement
        if len(asked) == self._needed and all(isinstance(each, Verdict) for each in asked.values()):
            self._decide(self._open.pop(key))

    def close(self, seed: int) -> Leaderboard:
        for asked in self._open.values():
            if len(asked) == self._needed:
                self._undecided += 1
                self._missing.update(self._answers[name].system for name in next(iter(asked)))
        comparisons = Comparisons(
            len(self._systems),
            np.array(self._first, dtype=np.int64),
            np.array(self._second, dtype=np.int64),
            np.array(self._won),
            np.array(self._prompt, dtype=np.int64),
        )
        rows = self._rows(comparisons, seed)
        return Leaderboard(
            systems=tuple(sorted(rows, key=lambda row: (row.win_rate is None, -(row.win_rate or 0)))),
            judged=len(self._won),
            missing=self._undecided,
            both_orders=self._two_way,
            agreeing=self._agreeing,
            unmatched=self._unmatched(),
            alerts=self._alerts,
            usage=dict(self._usage),
            alpha=self._votes.alpha(),
        )

    def _decide(self, verdicts: Mapping[Order, Verdict | NoVerdict]) -> None:
        """Take the result of a match that has a verdict in every order."""
        first, second = next(iter(verdicts))
        outcome = outcome_of(Pairing("", first, second), verdicts)
        assert outcome is not None
        self._first.append(self._answers[first].system)
        self._second.append(self._answers[second].system)
        self._prompt.append(self._answers[first].prompt)
        self._won.append(0.5 if outcome.first == outcome.second else float(outcome.first > outcome.second))
        if len(verdicts) == 2:
            self._two_way += 1
            self._agreeing += _agree(list(verdicts.values()))

    def _rows(self, comparisons: Comparisons, seed: int) -> list[SystemScore]:
        ratings, (low, high) = comparisons.ratings(), comparisons.rating_intervals(seed=seed)
        rows = []
        for system, number in self._systems.items():
            won, prompt = comparisons.results_of(number)
            results = Counter(won.tolist())
            counts = np.bincount(prompt).astype(np.float64)
            sums, played = np.bincount(prompt, won).astype(np.float64), counts > 0
            rows.append(
                SystemScore(
                    system=system,
                    wins=results[1.0],
                    ties=results[0.5],
                    losses=results[0.0],
                    missing=self._missing[number],
                    win_rate=float(won.mean()) if len(won) else None,
                    interval=rate_interval(sums[played], counts[played], seed) if len(won) else None,
                    rating=float(ratings[number]),
                    rating_interval=(float(low[number]), float(high[number])),
                    mean_length=float(np.mean(self._lengths[system])),
                )
            )
        return rows

    def _unmatched(self) -> int:
        systems: dict[int, set[int]] = defaultdict(set)
        for system, prompt in self._answers.values():
            systems[prompt].add(system)
        return sum(len(those) == 1 for those in systems.values())


class _Votes:
    """What the members of a panel, known by their place in it, said question by question."""

    def __init__(self) -> None:
        self._questions = 0
        self._member, self._question, self._winner = array("q"), array("q"), array("d")

    def add(self, votes: Sequence[Vote]) -> None:
        opinions = [(member, vote.winner) for member, vote in enumerate(votes) if vote.winner is not None]
        if len(opinions) < 2:
            return
        for member, winner in opinions:
            self._member.append(member)
            self._question.append(self._questions)
            self._winner.append(_WINNERS[winner])
        self._questions += 1

    def alpha(self) -> float | None:
        if not self._questions:
            return None
        said = np.full((max(self._member) + 1, self._questions), np.nan)
        said[np.array(self._member), np.array(self._question)] = self._winner
        return float(evalica.alpha(pd.DataFrame(said)).alpha)


_WINNERS: Mapping[Winner, float] = {"first": 0.0, "second": 1.0, "tie": 2.0}


def usage_by_judge(event: JudgementGiven) -> list[tuple[str, Usage]]:
    """Who consumed what: the members of a panel, or the judge."""
    votes = event.judgement.votes
    return [(vote.judge, vote.usage) for vote in votes] or [(event.judge, event.judgement.usage)]


def _agree(verdicts: Sequence[Verdict | NoVerdict]) -> bool:
    """Whether two verdicts, given in opposite orders, name the same winner or both a tie."""
    winners = [verdict.winner for verdict in verdicts if isinstance(verdict, Verdict)]
    return winners in (["first", "second"], ["second", "first"], ["tie", "tie"])


def win_rate_interval(by_prompt: Sequence[Sequence[float]], seed: int) -> tuple[float, float]:
    """The 95 % interval of a win rate by bootstrap over prompts, from the results, in [0, 1], on each."""
    won = np.array([float(sum(results)) for results in by_prompt])
    return rate_interval(won, np.array([float(len(results)) for results in by_prompt]), seed)
