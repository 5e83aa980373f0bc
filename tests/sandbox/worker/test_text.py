import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.sandbox.worker.text import BLOCK, LongText


class Narrow(LongText):
    """Tries patterns on so few characters at once that short texts have many seams."""

    window = 16
    margin = 5


characters = st.sampled_from("ab \n\u00e9\u20ac\U0001f600")
texts = st.text(characters, max_size=60).flatmap(
    lambda text: st.sampled_from([text, text * (BLOCK // 8), "a" * BLOCK + text])
)
places = st.none() | st.integers(-80, 2 * BLOCK)


def long_text(text: str, kind: type[LongText] = LongText) -> LongText:
    return kind(bytearray(text.encode()))


@given(texts, places, places, st.sampled_from([None, 1, 2, -1]))
def test_slices_are_those_of_the_string(
    text: str, start: int | None, stop: int | None, step: int | None
) -> None:
    long = long_text(text)
    assert len(long) == len(text)
    assert long[start:stop:step] == text[start:stop:step]
    if start is not None and -len(text) <= start < len(text):
        assert long[start] == text[start]


@given(texts, st.text(characters, min_size=1, max_size=3), places, places)
def test_searches_find_what_they_find_in_the_string(
    text: str, part: str, start: int | None, stop: int | None
) -> None:
    long = long_text(text)
    assert long.find(part, start, stop) == text.find(part, start, stop)
    assert long.rfind(part, start, stop) == text.rfind(part, start, stop)
    assert long.count(part, start, stop) == text.count(part, start, stop)
    assert (part in long) == (part in text)
    assert long.startswith(part) == text.startswith(part)
    assert long.endswith(part) == text.endswith(part)


@given(texts)
def test_lines_and_characters_are_those_of_the_string(text: str) -> None:
    assert list(long_text(text).lines()) == text.removesuffix("\n").split("\n") if text else True
    assert "".join(long_text(text)) == str(long_text(text)) == text


@given(
    st.text(st.sampled_from("ab \u20ac"), max_size=90),
    st.sampled_from(
        ["a", "b*", "a{1,3}?", r"\b", "(?<=a)b", "a(?= )", "^a", "a$", "(a)|(b)", "|a", "", "a?|ab"]
    ),
)
@example("a" * 40, "a*")
@example(" " * 15 + "ab" * 30, "(ab)+")
def test_matches_are_those_in_the_string_wherever_the_seams_are(text: str, pattern: str) -> None:
    found = [(match.span(), match.groups()) for match in long_text(text, Narrow).finditer(pattern)]
    assert found == [(match.span(), match.groups()) for match in re.finditer(pattern, text)]
    assert long_text(text, Narrow).findall(pattern) == re.findall(pattern, text)


def test_a_match_has_its_place_in_the_whole_text() -> None:
    long = long_text("x" * 100 + "key=value", Narrow)
    match = long.search(r"(?P<name>\w)=(\w+)")
    assert match is not None
    assert match.span("name") == (102, 103)
    assert (match.start(2), match.end(2), match[2], match.group("name")) == (104, 109, "value", "y")
    assert long.search("absent") is None


def test_long_slices_are_views_of_the_same_text() -> None:
    class Short(LongText):
        longest_string = 10

    text = "naïve \N{PILE OF POO} line\n" * 100
    view = long_text(text, Short)[7:1_000]
    assert isinstance(view, LongText)
    assert str(view) == text[7:1_000]
    assert view[3:9] == text[10:16]
    assert view.find("naïve") == text[7:].find("naïve")
    assert list(view.lines()) == text[7:1_000].split("\n")
    assert str(view[20:500]) == text[27:507]


def test_what_it_cannot_do_is_said_with_what_it_can() -> None:
    long = long_text("some text")
    with pytest.raises(AttributeError, match=r"split\(\) would copy this text of 9 characters; .* lines\(\)"):
        long.split("\n")
    assert not hasattr(long, "no_method_of_strings")
    with pytest.raises(ValueError, match="substring not found"):
        long.index("absent")
    with pytest.raises(IndexError):
        long[9]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    data = b"a\xffb" * BLOCK + b"\xe2\x82"
    assert str(LongText(bytearray(data))) == data.decode(errors="replace")
