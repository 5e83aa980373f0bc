"""What a judge's answers on labelled pairs say about the judge."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from statistics import correlation, fmean
from typing import NamedTuple

from palaestra.arena.leaderboard import win_rate_interval
from palaestra.core.events import JudgementGiven
from palaestra.core.record import Record
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.usage import Usage, total
from palaestra.core.verdict import Verdict, Winner


class LabelledPair(NamedTuple):
    task: Task
    first: Trajectory
    second: Trajectory
    label: Winner


class CalibrationReport(Record):
    """Shares are in [0, 1]; None where nothing could be counted."""

    judge: str
    pairs: int
    """With a verdict in both orders."""
    missing: int
    """Labelled pairs without one."""
    accuracy: float | None
    """Pairs of which both orders together name what the label names, ties included."""
    interval: tuple[float, float] | None
    """95 % interval of the accuracy, by bootstrap over prompts."""
    kappa: float | None
    """Cohen's kappa between judge and label over win, loss and tie, each pair counted both ways round, so
    that it does not matter which of the two is called first."""
    accuracy_better_first: float | None
    """Single verdicts on pairs with a better one, that one shown first."""
    accuracy_better_second: float | None
    first_wins: float | None
    """Single verdicts for whoever was shown first, of those for anybody; 0.5 is no position bias."""
    flips: float | None
    """Pairs of which the two orders name different winners, one of them perhaps none."""
    ties: float | None
    """Pairs with equal scores over both orders: what the judge cannot tell apart."""
    longer_wins: float | None
    """Pairs won by the longer answer, of those with a winner."""
    labels_longer_wins: float | None
    """The same of the labels: only the difference is the judge's own."""
    length_correlation: float | None
    """Of the difference in scores with the logarithm of the ratio of lengths."""
    self_consistency: float | None
    """Repeated questions, same pair and order, that get the same winner again."""
    cyclic_triples: float | None
    """Of three contestants with a winner in every pair, how many beat each other in a circle."""
    triples: int
    usage: Usage


class _Judged(NamedTuple):
    """A labelled pair with its verdicts of the first attempt."""

    pair: LabelledPair
    forward: Verdict
    """Shown as in the pair."""
    backward: Verdict

    @property
    def margin(self) -> float:
        """Points of the first beyond those of the second, over both orders."""
        forward, backward = self.forward.scores, self.backward.scores
        return (forward[0] - forward[1] + backward[1] - backward[0]) / 2

    @property
    def winner(self) -> Winner:
        return "first" if self.margin > 0 else "second" if self.margin < 0 else "tie"


_Key = tuple[str, str, str]
"""A task and two contestants in the order shown."""


def calibration_report(
    pairs: Sequence[LabelledPair], judgements: Iterable[JudgementGiven], seed: int = 0
) -> CalibrationReport:
    """Compare the judgements on labelled pairs with the labels; `seed` is that of the bootstrap."""
    events = list(judgements)
    verdicts: dict[_Key, dict[int, Verdict]] = defaultdict(dict)
    for event in events:
        if isinstance(event.judgement, Verdict):
            verdicts[event.group, event.first, event.second][event.attempt] = event.judgement
    judged = [each for pair in pairs if (each := _judged(pair, verdicts))]
    singles = [single for each in judged for single in _singles(each)]
    hits: dict[str, list[float]] = defaultdict(list)
    for each in judged:
        hits[each.pair.task.id].append(each.winner == each.pair.label)
    cycles = _cycles(judged)
    return CalibrationReport(
        judge=events[0].judge if events else "",
        pairs=len(judged),
        missing=len(pairs) - len(judged),
        accuracy=_share(each.winner == each.pair.label for each in judged),
        interval=win_rate_interval(list(hits.values()), seed) if hits else None,
        kappa=_kappa([(each.winner, each.pair.label) for each in judged]),
        accuracy_better_first=_share(said == "first" for said, label in singles if label == "first"),
        accuracy_better_second=_share(said == "second" for said, label in singles if label == "second"),
        first_wins=_share(said == "first" for said, _ in singles if said != "tie"),
        flips=_share(each.forward.winner != _turned(each.backward.winner) for each in judged),
        ties=_share(each.winner == "tie" for each in judged),
        longer_wins=_longer_wins((each.pair, each.winner) for each in judged),
        labels_longer_wins=_longer_wins((each.pair, each.pair.label) for each in judged),
        length_correlation=_length_correlation(judged),
        self_consistency=_self_consistency(verdicts.values()),
        cyclic_triples=_share(cycles),
        triples=len(cycles),
        usage=total(event.judgement.usage for event in events),
    )


def _judged(pair: LabelledPair, verdicts: Mapping[_Key, Mapping[int, Verdict]]) -> _Judged | None:
    forward = verdicts.get((pair.task.id, pair.first.id, pair.second.id), {})
    backward = verdicts.get((pair.task.id, pair.second.id, pair.first.id), {})
    if 0 not in forward or 0 not in backward:
        return None
    return _Judged(pair, forward[0], backward[0])


def _singles(judged: _Judged) -> list[tuple[Winner, Winner]]:
    """What each of the two verdicts says, and what it should say, by place."""
    label = judged.pair.label
    return [(judged.forward.winner, label), (judged.backward.winner, _turned(label))]


def _turned(winner: Winner) -> Winner:
    turned: dict[Winner, Winner] = {"first": "second", "second": "first", "tie": "tie"}
    return turned[winner]


def _share(hits: Iterable[bool]) -> float | None:
    counted = list(hits)
    return fmean(counted) if counted else None


def _kappa(answers: Sequence[tuple[Winner, Winner]]) -> float | None:
    """With every pair counted both ways round, win and loss have equal shares."""
    if not answers:
        return None
    agreed = fmean(said == label for said, label in answers)
    ties_said = fmean(said == "tie" for said, _ in answers)
    ties_true = fmean(label == "tie" for _, label in answers)
    by_chance = ties_said * ties_true + (1 - ties_said) * (1 - ties_true) / 2
    return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else None


def _log_ratio(pair: LabelledPair) -> float:
    return math.log((len(pair.first.answer) + 1) / (len(pair.second.answer) + 1))


def _longer_wins(outcomes: Iterable[tuple[LabelledPair, Winner]]) -> float | None:
    return _share(
        (winner == "first") == (_log_ratio(pair) > 0)
        for pair, winner in outcomes
        if winner != "tie" and _log_ratio(pair)
    )


def _length_correlation(judged: Sequence[_Judged]) -> float | None:
    """Through the origin in effect: every pair counts both ways round."""
    ratios = [_log_ratio(each.pair) for each in judged]
    margins = [each.margin for each in judged]
    if not any(ratios) or not any(margins):
        return None
    return correlation([*ratios, *(-ratio for ratio in ratios)], [*margins, *(-margin for margin in margins)])


def _self_consistency(verdicts: Iterable[Mapping[int, Verdict]]) -> float | None:
    return _share(
        one.winner == other.winner for answers in verdicts for one, other in combinations(answers.values(), 2)
    )


def _cycles(judged: Iterable[_Judged]) -> list[bool]:
    """For each triple with three winners, whether it is a circle."""
    beats: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for each in judged:
        first, second = each.pair.first.id, each.pair.second.id
        if each.winner != "tie":
            beats[each.pair.task.id].add((first, second) if each.winner == "first" else (second, first))
    return [
        len({better for better, _ in duels}) == 3
        for wins in beats.values()
        for triple in combinations(sorted({name for duel in wins for name in duel}), 3)
        if len(duels := [duel for duel in wins if set(duel) <= set(triple)]) == 3
    ]
