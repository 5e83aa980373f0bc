"""How samples are laid out for passes."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from palaestra.core.chat import TokenTrace
from palaestra.training.samples import Sample, collate, lengths_to_pack, packed

LENGTHS = st.lists(st.integers(1, 60), max_size=15).map(lambda half: [each for each in half for _ in "12"])


@given(LENGTHS, st.integers(1, 200), st.sampled_from([1, 2]))
def test_a_pass_holds_what_fits_and_parts_nothing(lengths: list[int], tokens: int, together: int) -> None:
    passes = list(packed(lengths, tokens, together))
    assert sorted(place for places in passes for place in places) == list(range(len(lengths)))
    widths = [max(lengths[place] for place in places) for places in passes]
    assert widths == sorted(widths, reverse=True)
    for places, width in zip(passes, widths, strict=True):
        assert len(places) * width <= tokens or len(places) == together
        blocks = [places[start : start + together] for start in range(0, len(places), together)]
        assert all(block == list(range(block[0], block[0] + together)) for block in blocks)
        assert all(block[0] % together == 0 for block in blocks)


def trace(prompt: int, *turns: tuple[bool, int]) -> TokenTrace:
    mask = (False,) * prompt + tuple(generated for generated, count in turns for _ in range(count))
    return TokenTrace(
        ids=tuple(range(1, len(mask) + 1)), log_probs=tuple(-float(each) for each in mask), mask=mask
    )


def test_samples_of_one_prompt_share_a_pass_unless_padding_costs_more_than_the_prompt() -> None:
    long, short = trace(10, (True, 4)), trace(10, (True, 1))
    other, another = trace(2, (True, 1)), trace(2, (True, 9))
    samples = [Sample(each) for each in (long, other, short, another, long)]
    assert lengths_to_pack(samples) == [14, 3, 14, 11, 14]
    silent = trace(3)
    assert lengths_to_pack([Sample(silent), Sample(silent)]) == [3, 3]


def test_a_teacher_sees_its_own_prompt_before_the_same_turns() -> None:
    """What a tool answered between two turns stays, and stays masked."""
    sample = Sample(trace(2, (True, 2), (False, 1), (True, 1)), told_prompt=(90, 91, 92))
    taught = sample.as_told()
    assert taught.trace.ids == (90, 91, 92, 3, 4, 5, 6)
    assert taught.trace.mask == (False, False, False, True, True, False, True)
    assert taught.generated == sample.generated == 3
    assert taught.log_probs == sample.log_probs == [-1.0, -1.0, -1.0]
    assert sample._replace(told_prompt=None).as_told().trace == sample.trace


def test_padding_is_on_the_right_and_neither_seen_nor_trained() -> None:
    tokens = collate([Sample(trace(1, (True, 3))), Sample(trace(1, (True, 1)))], torch.device("cpu"))
    assert tokens.ids_NT.tolist() == [[1, 2, 3, 4], [1, 2, 0, 0]]
    assert tokens.attention_NT.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert tokens.generated_NT.tolist() == [[False, True, True, True], [False, True, False, False]]
