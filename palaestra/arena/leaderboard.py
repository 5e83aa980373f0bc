"""What judgements over many prompts say of the systems that gave the answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import evalica
import numpy as np

from palaestra.arena.match import Order, Orders, outcome_of
from palaestra.arena.topologies.base import Outcome, Pairing
from palaestra.core.events import JudgementGiven
from palaestra.core.record import Record
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage
from palaestra.core.verdict import NoVerdict, Verdict

RESAMPLES = 2000


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
    usage: Mapping[str, Usage]
    """By judge, answers without a verdict included."""


class _Match(NamedTuple):
    prompt: str
    first: str
    """A system, as is `second`."""
    second: str
    outcome: Outcome | None
    verdicts: Sequence[Verdict | NoVerdict]


def rank_systems(
    events: Iterable[JudgementGiven],
    trajectories: Iterable[Trajectory],
    orders: Orders = "both",
    seed: int = 0,
) -> Leaderboard:
    """Score the systems, that is the `agent`s of the trajectories, on all matches between two of them.

    A match that was not asked in every order (the run stopped before) is left out.
    """
    known = {trajectory.id: trajectory for trajectory in trajectories}
    events = list(events)
    usage: dict[str, Usage] = defaultdict(Usage)
    for event in events:
        usage[event.judge] += event.judgement.usage
    matches = _matches(events, known, orders)
    lengths: dict[str, list[int]] = defaultdict(list)
    for trajectory in known.values():
        lengths[trajectory.agent].append(len(trajectory.answer))
    ratings = _ratings(list(lengths), matches)
    rows = [
        _score(system, matches, ratings[system], float(np.mean(lengths[system])), seed) for system in lengths
    ]
    two_way = [match for match in matches if match.outcome and len(match.verdicts) == 2]
    return Leaderboard(
        systems=tuple(sorted(rows, key=lambda row: (row.win_rate is None, -(row.win_rate or 0)))),
        judged=sum(match.outcome is not None for match in matches),
        missing=sum(match.outcome is None for match in matches),
        both_orders=len(two_way),
        agreeing=sum(_agree(match.verdicts) for match in two_way),
        unmatched=list(Counter(trajectory.task_id for trajectory in known.values()).values()).count(1),
        usage=dict(usage),
    )


def _matches(
    events: Iterable[JudgementGiven], known: Mapping[str, Trajectory], orders: Orders
) -> list[_Match]:
    """The matches between different systems that were asked in every order, by their last attempts."""
    asked: dict[tuple[str, str, frozenset[str]], dict[Order, JudgementGiven]] = defaultdict(dict)
    for event in events:
        order = (event.first, event.second)
        answers = asked[event.group, event.stage, frozenset(order)]
        if order not in answers or answers[order].attempt < event.attempt:
            answers[order] = event
    matches = []
    for (_, stage, _), answers in asked.items():
        first, second = next(iter(answers))
        systems = known[first].agent, known[second].agent
        if systems[0] == systems[1] or len(answers) < (2 if orders == "both" else 1):
            continue
        verdicts = {order: event.judgement for order, event in answers.items()}
        outcome = outcome_of(Pairing(stage, first, second), verdicts)
        matches.append(_Match(known[first].task_id, *systems, outcome, list(verdicts.values())))
    return matches


def _agree(verdicts: Sequence[Verdict | NoVerdict]) -> bool:
    """Whether two verdicts, given in opposite orders, name the same winner or both a tie."""
    winners = [verdict.winner for verdict in verdicts if isinstance(verdict, Verdict)]
    return winners in (["first", "second"], ["second", "first"], ["tie", "tie"])


def _score(
    system: str, matches: Iterable[_Match], rating: float, mean_length: float, seed: int
) -> SystemScore:
    results: Counter[float] = Counter()
    missing = 0
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for match in matches:
        if system not in (match.first, match.second):
            continue
        if match.outcome is None:
            missing += 1
            continue
        own, other = match.outcome if match.first == system else match.outcome[::-1]
        result = 0.5 if own == other else float(own > other)
        results[result] += 1
        by_prompt[match.prompt].append(result)
    return SystemScore(
        system=system,
        wins=results[1.0],
        ties=results[0.5],
        losses=results[0.0],
        missing=missing,
        win_rate=(results[1.0] + results[0.5] / 2) / results.total() if results else None,
        interval=win_rate_interval(list(by_prompt.values()), seed) if results else None,
        rating=rating,
        mean_length=mean_length,
    )


def win_rate_interval(by_prompt: Sequence[Sequence[float]], seed: int) -> tuple[float, float]:
    """The 95 % interval of a win rate: percentiles over resampled prompts, each with its results in [0, 1].

    Matches on one prompt are not independent, so prompts are drawn, not matches. One prompt won and one
    lost are added, as Agresti and Coull do with trials: five wins of five are no certainty.
    """
    counts = np.array([len(results) for results in by_prompt], dtype=float)
    won = np.array([sum(results) for results in by_prompt])
    typical = counts.mean()
    counts, won = np.append(counts, [typical, typical]), np.append(won, [typical, 0])
    draws = np.random.default_rng(seed).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES
    )
    low, high = np.percentile(draws @ won / (draws @ counts), [2.5, 97.5])
    return float(low), float(high)


def _ratings(systems: Sequence[str], matches: Iterable[_Match]) -> dict[str, float]:
    """Bradley-Terry by evalica, with one tie between any two systems added: a system that never lost would
    have no finite strength otherwise."""
    decided = [match for match in matches if match.outcome]
    pairs = [(match.first, match.second) for match in decided] + list(combinations(systems, 2))
    if not pairs:
        return dict.fromkeys(systems, 1000.0)
    winners = [_winner(match.outcome) for match in decided if match.outcome]
    winners += [evalica.Winner.Draw] * (len(pairs) - len(decided))
    strengths = evalica.bradley_terry(
        [first for first, _ in pairs], [second for _, second in pairs], winners, limit=10_000
    ).scores
    return {system: float(1000 + 400 * np.log10(strengths[system])) for system in systems}


def _winner(outcome: Outcome) -> evalica.Winner:
    if outcome.first == outcome.second:
        return evalica.Winner.Draw
    return evalica.Winner.X if outcome.first > outcome.second else evalica.Winner.Y
