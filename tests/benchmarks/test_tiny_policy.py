import random

import pytest
import torch

from benchmarks.miniatures.arena_rl import CALLS, MeanPoints, NoisyJudge, Ranks
from benchmarks.miniatures.partners import close, closeness, partners_examples
from benchmarks.miniatures.tiny_policy import (
    Answer,
    Budget,
    adam,
    batches,
    copied,
    draw,
    exact,
    train,
    untrained,
)
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.core.chat import TokenTrace
from palaestra.training.objectives.reinforce import Reinforce, ReinforceConfig
from palaestra.training.updater import Updater

EXAMPLES = partners_examples(20, length=2, careless=1.0, seed=3)
TASKS = [task for task, _ in EXAMPLES]
TEXTS = [text for task, answer in EXAMPLES for text in (task.request, answer)]


def group_of(size: int) -> list[Answer]:
    """Each nearer to what is wanted than the one before."""
    task = TASKS[0]
    wanted = [int(word) for word in (task.reference or "").split()]
    nothing = TokenTrace(ids=(), log_probs=(), mask=())
    return [
        Answer(task, " ".join(str(each + size - place) for each in wanted), nothing) for place in range(size)
    ]


def test_training_moves_the_copy_and_not_what_it_was_copied_from() -> None:
    start = untrained(TEXTS, seed=0)
    before = {name: weight.clone() for name, weight in start.module.state_dict().items()}
    policy = copied(start)
    updater = Updater(policy.module, Reinforce(ReinforceConfig()), adam(1e-3), steps=2)
    pick = random.Random(0)
    told = train(
        policy, updater, TASKS, lambda group: [pick.random() for _ in group], Budget(2, 3, tasks=2), seed=0
    )
    assert [step["loss"] for step in told]
    assert all(torch.equal(weight, before[name]) for name, weight in start.module.state_dict().items())
    assert any(not torch.equal(weight, before[name]) for name, weight in policy.module.state_dict().items())


def test_the_same_seed_gives_the_same_tasks_and_answers() -> None:
    policy, budget = untrained(TEXTS, seed=0), Budget(steps=2, max_tokens=3, tasks=3, answers=2)
    first, again = (list(batches(policy, TASKS, budget, seed=5)) for _ in range(2))
    assert first == again
    assert first[0] != first[1]
    drawn = draw(policy, TASKS[:2], 3, max_tokens=4, seed=1)
    assert [len(group) for group in drawn] == [3, 3]
    assert all(answer.task == task for task, group in zip(TASKS, drawn, strict=False) for answer in group)


def test_an_answer_is_worth_its_distance() -> None:
    task = TASKS[0].model_copy(update={"reference": "4 10"})
    assert closeness(task, "4 10") == 1
    assert closeness(task, "6 6") == pytest.approx(1 - 3 / 20)
    assert closeness(task, "4") == closeness(task, "four 10") == 0
    assert exact(
        [Answer(task, text, TokenTrace(ids=(), log_probs=(), mask=())) for text in ("4 10", "4 9")]
    ) == [1, 0]


def test_a_judge_whose_errors_last_answers_a_question_the_same_again() -> None:
    lasting, fresh = NoisyJudge(0, lasting=1.0), NoisyJudge(0, lasting=0.0)
    assert len({tuple(lasting.points(TASKS[0], "1 2", "3 4")) for _ in range(20)}) == 1
    assert len({tuple(fresh.points(TASKS[0], "1 2", "3 4")) for _ in range(20)}) > 1


def test_points_and_ranks_take_the_same_calls_and_find_the_order() -> None:
    group = group_of(8)
    rewards = []
    for reward in (MeanPoints, lambda judge: Ranks(judge, SingleEliminationConfig(rerank="posterior"))):
        totals = [0.0] * len(group)
        judge = NoisyJudge(1, lasting=0.0)
        of_judge = reward(judge)
        for _ in range(40):
            totals = [total + value for total, value in zip(totals, of_judge(group), strict=True)]
        assert judge.calls == 40 * CALLS
        rewards.append(totals)
    truth = close(group)
    assert truth == sorted(truth)
    for totals in rewards:
        assert totals[0] < totals[-1]
        assert max(totals[:2]) < min(totals[-2:])
