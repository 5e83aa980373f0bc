"""Any bytes on the channel end in frames within their limits, in a protocol error, or in the end."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.sandbox.worker.wire import Kind
from tests.attacks.decode import HEADERS, as_frames, decode

mutations = st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4))


@st.composite
def nearly_frames(draw: st.DrawFn) -> bytes:
    """Frames as a worker sends them, but for a few bytes."""
    kinds = draw(st.lists(st.sampled_from(Kind), min_size=1, max_size=4))
    headers = st.sampled_from(HEADERS).map(str.encode) | st.binary(max_size=40)
    parts = [draw(each) for _ in kinds for each in (headers, st.binary(max_size=40))]
    data = bytearray(as_frames(kinds, parts))
    for place, replacement in draw(st.lists(mutations, max_size=4)):
        start = int(place * len(data))
        data[start : start + len(replacement)] = replacement
    return bytes(data)


@given(st.binary(max_size=400) | nearly_frames())
@example(as_frames([Kind.READY, Kind.CALL], [b"{}", b"", HEADERS[1].encode(), b"x"]))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    assert decode(data) <= len(data) // 16


def test_what_a_worker_sends_is_taken() -> None:
    """Else the property above would hold for a decoder that refuses everything."""
    parts = [b"{}", b"", HEADERS[1].encode(), b"x", HEADERS[2].encode(), b"text"]
    assert decode(as_frames([Kind.READY, Kind.CALL, Kind.DONE], parts)) == 3
