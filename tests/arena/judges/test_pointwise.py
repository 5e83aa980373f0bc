from __future__ import annotations

from itertools import combinations, permutations
from statistics import fmean

from palaestra.arena.judges.llm import LLMJudge, LLMJudgeConfig
from palaestra.arena.judges.pointwise import PointwiseJudge, PointwiseJudgeConfig
from palaestra.models.programs.judge import judge as competent
from tests.arena.judges.plans import (
    GROUP,
    MODEL,
    Listener,
    ask,
    scripted,
)


def test_pointwise_scores_collapse_where_a_pair_is_told_apart() -> None:
    pairs = list(combinations(GROUP, 2))
    pairwise = ask(LLMJudge(scripted(competent), LLMJudgeConfig(model=MODEL)), pairs)
    pointwise = ask(PointwiseJudge(scripted(competent), PointwiseJudgeConfig(model=MODEL)), pairs)
    assert {verdict.winner for verdict in pairwise} == {"second"}
    ties = fmean(verdict.winner == "tie" for verdict in pointwise)
    assert ties == 7 / 28
    assert {verdict.winner for verdict in pointwise} == {"second", "tie"}


def test_pointwise_asks_once_for_each_contestant_and_attempt() -> None:
    listener = Listener()
    judge = PointwiseJudge(scripted(listener), PointwiseJudgeConfig(model=MODEL))
    pairs = list(permutations(GROUP, 2))
    verdicts = ask(judge, pairs)
    assert len(listener.requests) == sum(verdict.usage.calls for verdict in verdicts) == len(GROUP)
    assert all("contestant B" not in request for request in listener.requests)
    ask(judge, pairs, attempt=1)
    assert len(listener.requests) == 2 * len(GROUP)
