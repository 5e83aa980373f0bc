"""What is put off happens once, when it is due, and not if it is taken back."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from palaestra.sandbox.timer import Timer
from tests.sandbox.clocked_loop import ClockedLoop, run_clocked

steps = st.lists(
    st.tuples(st.sampled_from(["set", "advance"]), st.integers(1, 9)) | st.just(("clear", 0)), max_size=30
)


@given(steps)
def test_only_the_latest_setting_counts_and_only_once(steps: list[tuple[str, int]]) -> None:
    happened: list[int] = []

    async def body(loop: ClockedLoop) -> None:
        timer = Timer()
        expected: list[int] = []
        due: float | None = None
        for number, (step, seconds) in enumerate(steps):
            if step == "set":
                due, latest = loop.now + seconds, number
                timer.set(due, functools.partial(happened.append, number))
            elif step == "clear":
                due = None
                timer.clear()
            else:
                await loop.advance(seconds)
                if due is not None and due <= loop.now:
                    expected.append(latest)
                    due = None
        timer.cancel()
        await loop.advance(100)
        assert happened == expected

    run_clocked(body)
