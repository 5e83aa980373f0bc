import contextlib
import io
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.sandbox.worker.excerpt import Excerpt, shorten
from palaestra.sandbox.worker.wire import (
    MAX_HEADER,
    PREFIX,
    Frame,
    Kind,
    WireError,
    join_texts,
    pack,
    receive,
    split_texts,
    unpack_header,
    unpack_prefix,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(Kind),
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), json_values, max_size=4),
    st.binary(max_size=500),
)
def test_a_frame_arrives_as_it_was_sent(kind: Kind, header: dict[str, object], body: bytes) -> None:
    data = pack(kind, header, body)
    stream = io.BytesIO(data + data[:-1])
    assert receive(stream) == Frame(kind, header, body)
    assert receive(stream) is None


@given(st.binary(min_size=PREFIX.size, max_size=PREFIX.size))
def test_any_prefix_is_read_or_refused_and_never_announces_more_than_allowed(data: bytes) -> None:
    try:
        prefix = unpack_prefix(data, max_body=1 << 20)
    except WireError:
        return
    assert prefix.header_length <= MAX_HEADER
    assert prefix.body_length <= 1 << 20


@given(st.binary(max_size=200))
def test_any_header_is_an_object_or_refused(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(unpack_header(data), dict)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!BBHIQ", 99, 1, 0, 0, 0),
        struct.pack("!BBHIQ", Kind.DONE, 2, 0, 0, 0),
        struct.pack("!BBHIQ", Kind.DONE, 1, 1, 0, 0),
        struct.pack("!BBHIQ", Kind.DONE, 1, 0, MAX_HEADER + 1, 0),
        struct.pack("!BBHIQ", Kind.DONE, 1, 0, 0, 1 << 63),
    ],
)
def test_bad_prefixes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        unpack_prefix(data, max_body=1 << 20)


@pytest.mark.parametrize("header", [b"[1]", b'{"a": NaN}', b'{"a": 1e', b"[" * 60_000, b'{"a":' * 9_000])
def test_bad_headers_are_refused(header: bytes) -> None:
    with pytest.raises(WireError):
        unpack_header(header)


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_a_batch_of_texts_comes_back_in_order(texts: list[str]) -> None:
    assert split_texts(*join_texts(texts)) == texts


def test_texts_that_utf8_cannot_say_are_replaced_and_wrong_lengths_refused() -> None:
    assert split_texts(*join_texts(["a\ud800b"])) == ["a?b"]
    for lengths in ([1], [4], [4, -1]):
        with pytest.raises(WireError):
            split_texts(lengths, b"abc")


@given(st.text(), st.integers(100, 400))
def test_an_excerpt_fits_and_keeps_head_and_tail(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert shorten(short, limit) == short
    if len(text) <= limit:
        assert short == text
    else:
        head, tail = short.split("\n[... ", 1)[0], short.rsplit(" ...]\n", 1)[1]
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) + len(tail) >= limit - 50


@given(st.lists(st.text(max_size=80), max_size=30))
@example(["ab" * 55, "cd" * 6])
def test_an_excerpt_does_not_depend_on_how_the_text_came(pieces: list[str]) -> None:
    excerpt = Excerpt(120)
    for piece in pieces:
        excerpt.add(piece)
    assert excerpt.text() == shorten("".join(pieces), 120)
    assert excerpt.truncated == (len("".join(pieces)) > 120)
