import shutil
from pathlib import Path

import pytest

from benchmarks.miniatures.measuring import miniature
from benchmarks.miniatures.page import PAGE, names, number, paragraphs
from benchmarks.tables import replace_section


def test_the_page_says_what_the_kept_results_say(tmp_path: Path) -> None:
    again = tmp_path / PAGE.name
    shutil.copy(PAGE, again)
    replace_section("miniatures", paragraphs(), again)
    assert again.read_text(encoding="utf-8") == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", names())
def test_no_two_rows_of_a_miniature_call_their_quantity_the_same(name: str) -> None:
    quantities = [comparison.what for comparison in miniature(name).comparisons]
    assert len(set(quantities)) == len(quantities)


def test_a_number_is_written_without_an_exponent() -> None:
    assert [number(2690), number(-1973.2, "+"), number(925.3, "+"), number(0.01234)] == [
        "2,690",
        "-1,973",
        "+925",
        "0.0123",
    ]
