"""Tournament ranks beside points for single answers: one noisy judge, as many of its calls."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from statistics import correlation, fmean

from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.partners import close, closeness, partners_examples
from benchmarks.miniatures.tiny_policy import (
    Answer,
    Budget,
    Reward,
    adam,
    copied,
    draw,
    mean_reward,
    train,
    warmed,
)
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.tournament import Tournament, TournamentConfig
from palaestra.core.budget import Budget as Limits
from palaestra.core.budget import Meter
from palaestra.core.record import derive_seed
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.core.verdict import Verdict
from palaestra.models.tiny import TinyModel
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.rewards import TournamentRewards, by_rank
from palaestra.training.updater import Updater

LENGTH, CARELESS = 4, 3.0
"""Of the task: numbers in an answer, and the standard deviation of those to imitate."""
BUDGET = Budget(steps=120, max_tokens=LENGTH + 2, tasks=4)
CALLS = 4 * (BUDGET.answers - 1)
"""For a group: what seeded single elimination takes, 2(N − 1) matches in both orders."""
LEVEL, SPREAD = 5.0, 4.0
"""Points out of 10 for the worst answer, and how many more the best gets."""
SHIFT, OWN, BIAS = 1.0, 0.5, 0.4
"""Points: standard deviation of what moves all answers of a call, and of what moves one; for who is first."""
LASTING = 0.5
"""Share of the variance of the errors that is the same whenever the same question is asked."""
SETTING = (
    "Two layers imitate answers that miss four wanted numbers by normal errors; a reward is to bring them "
    "nearer. The judge sees closeness on a scale of 4 points, moved by 1.0 for all answers of a call and by "
    "0.5 for each (standard deviations), by 0.4 for who is first, and rounded to whole points; half of its "
    "errors' variance is the same whenever it is asked the same question. For each group of 8 it is called "
    "28 times: for the 2(N − 1) matches of single elimination in both orders, or 3 or 4 for each answer "
    "alone, whose points are averaged. 120 steps of 4 groups; GRPO without KL."
)
REMARK = (
    "A call that compares reads two answers, one that gives points reads one. What all answers of a call "
    "share is no error of a comparison, and an answer meets several others, so that what lasts of an error "
    "is averaged too. Where every call errs anew the mean of points is as good as single elimination, which "
    "orders those who lose in one round by points from different calls; the posterior uses the margins of "
    "all matches."
)


class NoisyJudge:
    """Gives whole points to the one or two answers of a call.

    `lasting` is the share of its errors' variance that is the same whenever it is asked the same question.
    """

    name = "noisy"

    def __init__(self, seed: int, lasting: float) -> None:
        self.calls = 0
        self._seed = seed
        self._lasting = lasting
        self._fresh = random.Random(seed)

    def points(self, task: Task, *answers: str) -> list[float]:
        self.calls += 1
        stable = random.Random(derive_seed(self._seed, task.id, *answers))
        shift = SHIFT * self._error(stable)
        biases = (BIAS, 0.0) if len(answers) == 2 else (0.0,)
        seen = (
            LEVEL + SPREAD * closeness(task, answer) + bias + shift + OWN * self._error(stable)
            for answer, bias in zip(answers, biases, strict=True)
        )
        return [float(min(max(round(value), 0), 10)) for value in seen]

    async def compare(self, task: Task, first: Trajectory, second: Trajectory, attempt: int = 0) -> Verdict:
        return Verdict.from_scores(*self.points(task, first.answer, second.answer))

    def _error(self, stable: random.Random) -> float:
        share = self._lasting
        return math.sqrt(share) * stable.gauss(0, 1) + math.sqrt(1 - share) * self._fresh.gauss(0, 1)


class MeanPoints:
    """A reward: the mean of the points that an answer gets when shown alone, in so many calls for a group."""

    def __init__(self, judge: NoisyJudge, calls: int = CALLS) -> None:
        self._judge = judge
        self._calls = calls

    def __call__(self, group: Sequence[Answer]) -> list[float]:
        given: list[list[float]] = [[] for _ in group]
        for call in range(self._calls):
            place = call % len(group)
            given[place] += self._judge.points(group[place].task, group[place].text)
        return [fmean(points) for points in given]


class Ranks:
    """A reward: the rank in a tournament of the group."""

    def __init__(self, judge: NoisyJudge, topology: SingleEliminationConfig) -> None:
        arena = Tournament(
            judge, TournamentConfig(), concurrency=1, meter=Meter(Limits()), emit=lambda event: None
        )
        self._source = TournamentRewards(arena, topology, seed=0, rewarded=by_rank)
        self._number = count()

    def __call__(self, group: Sequence[Answer]) -> list[float]:
        name, task = str(next(self._number)), group[0].task
        contestants = [
            Trajectory(id=str(place), task_id=task.id, agent="policy", status="finished", answer=answer.text)
            for place, answer in enumerate(group)
        ]
        return asyncio.run(self._source.rewards({name: contestants}, {name: task}))[name]


def measure(seed: int) -> Mapping[str, float]:
    examples = partners_examples(2000, LENGTH, CARELESS, derive_seed(seed, "train"))
    held_out = [task for task, _ in partners_examples(200, LENGTH, CARELESS, derive_seed(seed, "held out"))]
    start = warmed(examples, seed, steps=250)
    figures = dict(_agreements(start, held_out[:50], seed))
    ranked = ArenaRL(ArenaRLConfig())
    objectives = {"points": GRPO(GRPOConfig(kl=0)), "ranks": ranked, "reranked": ranked}
    for name, objective in objectives.items():
        policy, judge = copied(start), NoisyJudge(derive_seed(seed, "judge"), LASTING)
        updater = Updater(policy.module, objective, adam(1e-3), steps=BUDGET.steps)
        train(policy, updater, [task for task, _ in examples], REWARDS[name](judge), BUDGET, seed)
        assert judge.calls == CALLS * BUDGET.tasks * BUDGET.steps, "the methods are to pay the same"
        answers = draw(policy, held_out, BUDGET.answers, BUDGET.max_tokens, derive_seed(seed, "held out"))
        figures[name] = mean_reward(answers, close)
    return figures


def _agreements(policy: TinyModel, tasks: Sequence[Task], seed: int) -> Iterator[tuple[str, float]]:
    """How well each reward tells the policy's answers apart: its correlation with the truth in a group."""
    groups = draw(policy, tasks, BUDGET.answers, BUDGET.max_tokens, derive_seed(seed, "agreement"))
    for share, lasting in (("half", LASTING), ("none", 0.0)):
        for name, reward in REWARDS.items():
            of_judge = reward(NoisyJudge(derive_seed(seed, "judge"), lasting))
            agreement = fmean(_correlation(of_judge(group), close(group)) for group in groups)
            yield f"{name}, {share} lasts", agreement


def _correlation(rewards: Sequence[float], truth: Sequence[float]) -> float:
    """0 where one of them tells nothing apart."""
    return correlation(rewards, truth) if min(len(set(rewards)), len(set(truth))) > 1 else 0.0


REWARDS: Mapping[str, Callable[[NoisyJudge], Reward]] = {
    "points": MeanPoints,
    "points, twice the calls": lambda judge: MeanPoints(judge, 2 * CALLS),
    "ranks": lambda judge: Ranks(judge, SingleEliminationConfig()),
    "reranked": lambda judge: Ranks(judge, SingleEliminationConfig(rerank="posterior")),
}

UTILITY = "hidden closeness of held-out answers"
AGREEMENT = "correlation of rewards and closeness within groups of the start policy"

MINIATURE = Miniature(
    name="arena_rl",
    claim=(
        "Under a noisy judge, ranks in a tournament teach a policy more than points for single answers do, "
        "at the same number of judge calls"
    ),
    source="ArenaRL, arXiv 2601.06487",
    setting=SETTING,
    comparisons=(
        Comparison(f"{UTILITY}; single elimination", "ranks", "points"),
        Comparison(f"{UTILITY}; the same with `rerank: posterior`", "reranked", "points"),
        Comparison(AGREEMENT, "ranks, half lasts", "points, half lasts"),
        Comparison(f"{AGREEMENT}; `rerank: posterior`", "reranked, half lasts", "points, half lasts"),
        Comparison(
            f"{AGREEMENT}; points have twice the calls, so that both read as many answers",
            "ranks, half lasts",
            "points, twice the calls, half lasts",
        ),
        Comparison(f"{AGREEMENT}; no error lasts", "ranks, none lasts", "points, none lasts"),
    ),
    measure=measure,
    remark=REMARK,
)
