import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.training.objectives.aggregation import Aggregation, Totals, aggregate

VALUES = torch.tensor([[math.inf, 1.0, 2.0, 3.0], [math.nan, 6.0, math.inf, math.nan]])
MASK = torch.tensor([[False, True, True, True], [False, True, False, False]])


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("token-mean", (1 + 2 + 3 + 6) / 4),
        ("sequence-mean", (2 + 6) / 2),
        (1, (6 + 6) / 2),
        (10, (6 + 6) / 2 / 10),
    ],
)
def test_each_way_of_adding_up(aggregation: Aggregation, expected: float) -> None:
    assert aggregate(VALUES, MASK, aggregation, Totals.of(MASK)).item() == pytest.approx(expected)


@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6),
    st.integers(0, 6),
    st.sampled_from(["token-mean", "sequence-mean", 1, 512]),
)
def test_parts_add_up_to_the_whole(mask: list[list[bool]], cut: int, aggregation: Aggregation) -> None:
    mask_NT = torch.tensor(mask)
    values_NT = torch.arange(mask_NT.numel(), dtype=torch.float64).reshape(mask_NT.shape)
    totals = Totals.of(mask_NT)
    whole = aggregate(values_NT, mask_NT, aggregation, totals)
    first = aggregate(values_NT[:cut], mask_NT[:cut], aggregation, totals)
    second = aggregate(values_NT[cut:], mask_NT[cut:], aggregation, totals)
    assert (first + second).item() == pytest.approx(whole.item())


def test_a_dropped_row_counts_neither_as_a_sequence_nor_with_tokens() -> None:
    dropped = torch.cat([MASK, torch.zeros(1, 4, dtype=torch.bool)])
    assert Totals.of(dropped) == Totals.of(MASK) == Totals(tokens=4, sequences=2)
