"""Rank advantages for TRL: whole groups, in one process and cut between two."""

import json
from collections.abc import Callable

import pytest

from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from palaestra.core.errors import ConfigError
from palaestra.datasets.arithmetic.countdown import SMALL
from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.trl.tournament_reward import TournamentReward

PROCESS = """
import json, sys
from accelerate import PartialState
from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from palaestra.core.errors import ConfigError
from palaestra.datasets.arithmetic.countdown import SMALL
from palaestra.training.trl.tournament_reward import TournamentReward

state = PartialState(cpu=True)
tasks, answers = json.load(sys.stdin)
own = slice(state.process_index * 4, state.process_index * 4 + 4)
judge = ProgrammaticJudge("countdown", lambda task, trajectory: SMALL.utility(task, trajectory.answer))
given = dict(prompts=answers[own], completions=answers[own], task=tasks[own])
print(json.dumps(TournamentReward(judge, group_size=8, topology=RoundRobinConfig())(**given)))
try:
    TournamentReward(judge, group_size=3)(**given)
except ConfigError as error:
    print(json.dumps(str(error)))
state.destroy_process_group()
"""


def batch() -> tuple[list[str], list[str]]:
    """Two groups of four: a right answer among wrong ones, each in another place."""
    examples = [example for example in SMALL.examples(50) if SMALL.utility(*example)][:2]
    tasks = [example.task.model_dump_json() for example in examples for _ in range(4)]
    answers = ["0"] * 8
    answers[1], answers[6] = examples[0].answer, examples[1].answer
    return tasks, answers


def expected() -> list[float]:
    return [*rank_advantages([1, 0, 1, 1]).tolist(), *rank_advantages([1, 1, 0, 1]).tolist()]


def reward(group_size: int) -> TournamentReward:
    judge = ProgrammaticJudge("countdown", lambda task, trajectory: SMALL.utility(task, trajectory.answer))
    return TournamentReward(judge, group_size, topology=RoundRobinConfig())


def test_the_rewards_are_the_rank_advantages_of_each_group() -> None:
    tasks, answers = batch()
    found = reward(4)
    for _ in range(2):  # the same function is called at every step
        assert found(prompts=answers, completions=answers, task=tasks) == pytest.approx(expected())


def test_conversations_are_read_like_texts() -> None:
    tasks, answers = batch()
    turns = [[{"role": "assistant", "content": answer}] for answer in answers]
    assert reward(4)(prompts=turns, completions=turns, task=tasks) == pytest.approx(expected())


def test_parts_of_groups_are_refused() -> None:
    tasks, answers = batch()
    with pytest.raises(ConfigError, match="8 completions are no whole groups of 3"):
        reward(3)(prompts=answers, completions=answers, task=tasks)


def test_a_group_that_two_processes_share_is_judged_whole_and_errors_reach_both(
    in_two_processes: Callable[..., list[list[str]]],
) -> None:
    """One group of eight, four completions in each process; then a size that does not fit."""
    tasks, answers = batch()
    given = json.dumps([[tasks[0]] * 8, ["0"] * 5 + [answers[1]] + ["0"] * 2])
    outputs = in_two_processes(PROCESS, given=given)
    first, second = (json.loads(lines[-2]) for lines in outputs)
    assert first + second == pytest.approx(rank_advantages([1] * 5 + [0] + [1] * 2).tolist())
    for lines in outputs:
        assert "8 completions are no whole groups of 3" in json.loads(lines[-1])
