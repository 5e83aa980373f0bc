"""The 24 game: two rules for faces, one verifier, no hand in both splits."""

import pytest

from palaestra.core.errors import ConfigError
from palaestra.core.task import Task
from palaestra.datasets.arithmetic.general_points import CARDS, IN_DISTRIBUTION, OUT_OF_DISTRIBUTION
from palaestra.datasets.families import Split, family


def numbers(task: Task) -> tuple[int, ...]:
    return tuple(sorted(task.metadata["numbers"]))


def test_the_same_hand_under_either_rule() -> None:
    everything = {task.prompt: task for task in IN_DISTRIBUTION.tasks(15000, "train")}
    hand = "Make 24 of these cards, each used once: J,A,3,10. (A=1, J={}, Q={}, K={})"
    inside = everything[hand.format(10, 10, 10)]
    assert numbers(inside) == (1, 3, 10, 10)
    assert IN_DISTRIBUTION.utility(inside, "1+3+10+10") == 1.0
    assert OUT_OF_DISTRIBUTION.utility(inside, "1+3+10+11") == 0.0


def test_every_out_of_distribution_hand_has_a_face_that_counts_its_rank() -> None:
    for task in OUT_OF_DISTRIBUTION.tasks(2000, "held-out"):
        cards = task.id.removeprefix("general-points-ood-").split("-")
        assert {"J", "Q", "K"} & set(cards)
        assert task.metadata["numbers"] == [CARDS.index(card) + 1 for card in cards]


@pytest.mark.parametrize(
    ("answer", "worth"),
    [("8/(3-8/3)", 1), ("8/(3-8/3)=24", 1), ("8*3", 0), ("8+8+8", 0), ("8*3*8/3", 0), ("38-8-3-3", 0)],
)
def test_each_card_is_used_once_and_24_is_met_exactly(answer: str, worth: float) -> None:
    task = Task(id="eights", prompt="", metadata={"numbers": [3, 8, 3, 8]})
    assert IN_DISTRIBUTION.utility(task, answer) == worth


def test_no_numbers_are_in_both_splits_of_either_family() -> None:
    train = [*IN_DISTRIBUTION.tasks(15000, "train"), *OUT_OF_DISTRIBUTION.tasks(10000, "train", seed=1)]
    held_out = [*IN_DISTRIBUTION.tasks(3000, "held-out"), *OUT_OF_DISTRIBUTION.tasks(2000, "held-out")]
    assert not set(map(numbers, train)) & set(map(numbers, held_out))
    assert len({task.id for task in train}) == 25000


def test_tasks_follow_from_the_seed_and_end() -> None:
    assert IN_DISTRIBUTION.tasks(5, "train", seed=3) == IN_DISTRIBUTION.tasks(9, "train", seed=3)[:5]
    assert IN_DISTRIBUTION.tasks(5, "train", seed=3) != IN_DISTRIBUTION.tasks(5, "train", seed=4)
    with pytest.raises(ConfigError, match=r"general-points has \d+ held-out tasks; 90000 are asked for"):
        IN_DISTRIBUTION.tasks(90000, "held-out")


def test_as_large_a_share_of_random_hands_is_solvable_as_is_known() -> None:
    splits: tuple[Split, ...] = ("train", "held-out")
    solvable = sum(len(IN_DISTRIBUTION.hands(split)) for split in splits)
    assert solvable / len(CARDS) ** 4 == pytest.approx(0.7309, abs=5e-5)


def test_three_of_four_examples_solve_their_task() -> None:
    solved = [IN_DISTRIBUTION.utility(*example) for example in IN_DISTRIBUTION.examples(1000)]
    assert 0.7 < sum(solved) / 1000 < 0.8
    assert family("general-points") is IN_DISTRIBUTION
