"""From rankings, utilities and known answers to rewards."""

import asyncio
import math

import pytest

from palaestra.arena.topologies.adaptive import AdaptiveConfig
from palaestra.arena.topologies.single_elimination import SingleEliminationConfig
from palaestra.arena.topologies.swiss import SwissConfig
from palaestra.core.chat import Message
from palaestra.core.errors import ConfigError, TrainingError
from palaestra.core.ranking import Ranking, Standing
from palaestra.core.task import Task
from palaestra.core.trajectory import Trajectory
from palaestra.datasets.families import family
from palaestra.models.tiny import TinyModel
from palaestra.training.optimizer import OptimizerConfig
from palaestra.training.reference_rewards import ReferenceRewardConfig, ReferenceRewards
from palaestra.training.rewards import (
    FinishedRewards,
    UtilityRewards,
    by_posterior,
    by_rank,
    by_shrunken_scores,
    ranks_by_posterior,
)

NAMES = ["a", "b", "c"]


def ranking(scores: list[float], errors: list[float | None]) -> Ranking:
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return Ranking(
        standings=tuple(
            Standing(contestant=NAMES[place], rank=rank, score=scores[place], standard_error=errors[place])
            for rank, place in enumerate(order)
        )
    )


def test_ranks_give_rewards_in_the_order_of_the_contestants() -> None:
    assert by_rank(ranking([1.0, 3.0, 2.0], [None] * 3), NAMES) == [0.0, 1.0, 0.5]


def test_doubt_draws_rewards_together() -> None:
    sure, unsure = (by_posterior(ranking([1.0, 3.0, 2.0], [error] * 3), NAMES) for error in (1e-6, 5.0))
    assert sure == pytest.approx([0.0, 1.0, 0.5])
    assert 0.4 < unsure[0] < unsure[2] < unsure[1] < 0.6
    noise = by_shrunken_scores(ranking([1.0, 3.0, 2.0], [2.0] * 3), NAMES)
    assert noise == pytest.approx([0.5] * 3)


@pytest.mark.parametrize("error", [None, math.inf])
def test_a_ranking_without_errors_is_told(error: float | None) -> None:
    with pytest.raises(TrainingError, match="no standard errors"):
        by_posterior(ranking([1.0, 3.0, 2.0], [0.1, error, 0.1]), NAMES)


def test_what_is_a_posterior_mean_is_not_shrunk_again() -> None:
    assert not ranks_by_posterior(SingleEliminationConfig())
    assert ranks_by_posterior(SwissConfig(rerank="posterior"))
    assert ranks_by_posterior(AdaptiveConfig())


def answer(text: str) -> Trajectory:
    return Trajectory(id=text, task_id="t", agent="policy", status="finished", answer=text)


def test_a_known_answer_is_rewarded_by_its_probability_after_the_reasoning(policy: TinyModel) -> None:
    """Against the policy's own account of the spliced text, and less what it says without reasoning."""
    task = Task(id="t", prompt="plan a day", reference="Grove Museum")
    source = ReferenceRewards(policy, ReferenceRewardConfig(), OptimizerConfig(), show_context=False)
    texts = ["09:00 at noon Answer: no", "Museum Answer: Answer: x", "it never came to one"]
    groups = {"g": [answer(text) for text in texts]}
    (found,) = asyncio.run(source.rewards(groups, {"g": task})).values()

    def probability(before: str) -> float:
        messages = [Message(role="user", content="plan a day")]
        whole = asyncio.run(policy.score(messages, f"{before}Answer: Grove Museum"))
        head = policy.tokenizer(f"{before}Answer: ", add_special_tokens=False)["input_ids"]
        offsets = policy.tokenizer(
            f"{before}Answer: Grove Museum", add_special_tokens=False, return_offsets_mapping=True
        )["offset_mapping"]
        start = len(f"{before}Answer: ")
        kept = [math.exp(each) for each, (_, end) in zip(whole, offsets, strict=True) if end > start]
        assert 0 < len(kept) <= len(whole) - len(head) + 1
        return sum(kept) / len(kept)

    gains = [probability(before) - probability("") for before in ("09:00 at noon ", "Museum Answer: ")]
    expected = [0.9 * min(max(gain, 0), 1) + 0.1 * formed for gain, formed in zip(gains, (1, 0), strict=True)]
    assert found == pytest.approx([*expected, 0.0], abs=1e-6)
    with pytest.raises(ConfigError, match="t has no reference answer"):
        asyncio.run(source.rewards(groups, {"g": Task(id="t", prompt="plan a day")}))


def test_an_answer_that_was_cut_off_has_a_reward_of_its_own() -> None:
    task, right = next(iter(family("countdown").examples(1, seed=0)))
    whole = answer(right)
    cut = whole.model_copy(update={"id": "cut", "status": "limit"})
    groups, tasks = {"g": [whole, cut]}, {"g": task}
    assert asyncio.run(UtilityRewards().rewards(groups, tasks)) == {"g": [1.0, 1.0]}
    assert asyncio.run(FinishedRewards(UtilityRewards(), -1.0).rewards(groups, tasks)) == {"g": [1.0, -1.0]}
