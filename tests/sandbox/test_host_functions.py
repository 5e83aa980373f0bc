import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]


async def echo(texts: Sequence[str]) -> Sequence[str]:
    return texts


class Slow:
    """Upper case after a while, and how many calls were under way at once."""

    def __init__(self, seconds: float) -> None:
        self.most = self.under_way = 0
        self._seconds = seconds

    async def __call__(self, texts: Sequence[str]) -> Sequence[str]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self._seconds)
        self.under_way -= 1
        return [text.upper() for text in texts]


async def value(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


def test_host_functions_are_served_at_once_in_order_and_outside_the_clock(in_sandbox: InSandbox) -> None:
    slow = Slow(0.4)

    async def test(sandbox: WorkerSandbox) -> None:
        calls = "slow('a'), slow(['b', 'c', '']), slow([])"
        assert await value(sandbox, calls) == "('A', ['B', 'C', ''], [])"
        threads = "from concurrent.futures import ThreadPoolExecutor as T\n"
        assert await value(sandbox, threads + "list(T(8).map(slow, 'abcdefgh'))") == str(list("ABCDEFGH"))
        assert slow.most == 8
        outside = await sandbox.run("[slow('x') for _ in range(6)]; 'done'", seconds=2)  # of 2.4
        assert outside.value == "'done'"
        assert (await sandbox.run("slow('x')\nwhile True: pass", seconds=0.5)).status == "interrupted"

    in_sandbox(test, functions={"slow": slow})


def test_a_text_cannot_take_the_place_of_a_host_function(in_sandbox: InSandbox, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a function")

    async def test(sandbox: WorkerSandbox) -> None:
        for text in ("not a function", tmp_path / "text"):
            with pytest.raises(SandboxError, match="echo is the name of a host function; put"):
                await sandbox.put("echo", text)
            assert await value(sandbox, "echo('x')") == "'x'"
        assert await sandbox.get("echo") != "not a function"

    in_sandbox(test, functions={"echo": echo})


@pytest.mark.parametrize("name", ["a b", "class", ""])
def test_a_text_has_a_name_that_cells_can_use(in_sandbox: InSandbox, name: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        with pytest.raises(SandboxError, match="is no name of Python's; put the text under another one"):
            await sandbox.put(name, "text")

    in_sandbox(test)


def test_a_thousand_calls_under_way_are_all_answered_with_their_own_errors(in_sandbox: InSandbox) -> None:
    under_way = 0
    all_there = asyncio.Event()

    async def picky(texts: Sequence[str]) -> Sequence[str]:
        nonlocal under_way
        under_way += 1
        if under_way == 1000:
            all_there.set()
        await all_there.wait()
        if int(texts[0]) % 10 == 0:
            raise SandboxError(f"not {texts[0]}")
        return texts

    code = """
import inspect
host = next(cell.cell_contents for cell in picky.__closure__ if hasattr(cell.cell_contents, "call"))
frames = [host._ask("picky", [str(number)]) for number in range(1000)]
answers = [frame.get() for frame in frames]
texts = [answer.body.decode() for answer in answers]
right = sum(text == str(number) for number, text in enumerate(texts) if number % 10)
wrong = sum(f"not {number}" in text for number, text in enumerate(texts) if number % 10 == 0)
right, wrong
"""

    async def test(sandbox: WorkerSandbox) -> None:
        assert await value(sandbox, code) == "(900, 100)"

    in_sandbox(test, functions={"picky": picky})


def test_a_batch_larger_than_a_frame_comes_back_in_order(in_sandbox: InSandbox) -> None:
    async def lengths(texts: Sequence[str]) -> Sequence[str]:
        return [str(len(text)) for text in texts]

    async def test(sandbox: WorkerSandbox) -> None:
        sizes = await value(sandbox, "sizes = lengths(['é' * n for n in range(2_500)]); sizes[0], sizes[-1]")
        assert sizes == "('0', '2499')"
        batch = await value(sandbox, "lengths(['z' * 3_000_000] * 4 + ['z'])")
        assert batch == str(["3000000"] * 4 + ["1"])
        too_long = await sandbox.run("lengths('z' * 17_000_000)")
        assert "HostError: lengths takes texts of at most 16 MiB" in too_long.error

    in_sandbox(test, functions={"lengths": lengths})


def test_only_errors_raised_for_the_cell_are_told_with_their_text(
    in_sandbox: InSandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(texts: Sequence[str]) -> Sequence[str]:
        raise SandboxError("ask for less")

    async def leak(texts: Sequence[str]) -> Sequence[str]:
        raise FileNotFoundError("/home/user/.netrc")

    async def short(texts: Sequence[str]) -> Sequence[str]:
        return []

    async def wrong(texts: Sequence[str]) -> Sequence[str]:
        return [1]  # type: ignore[list-item]

    async def test(sandbox: WorkerSandbox) -> None:
        caught = "try:\n    refuse('x')\nexcept RuntimeError as error:\n    found = str(error)\nfound"
        assert await value(sandbox, caught) == "'SandboxError: ask for less'"
        with caplog.at_level(logging.WARNING):
            leaked = await sandbox.run("leak('x')")
        assert leaked.error.endswith("HostError: leak failed with FileNotFoundError")
        assert "/home/user/.netrc" in caplog.text
        for function in ("short", "wrong"):
            assert f"{function} failed with TypeError" in (await sandbox.run(f"{function}('x')")).error
        assert "takes one string or a list of strings" in (await sandbox.run("leak(3)")).error
        await sandbox.run("leak = 5\ndel short")
        assert await value(sandbox, "callable(leak), callable(short)") == "(True, True)"

    in_sandbox(test, functions={"refuse": refuse, "leak": leak, "short": short, "wrong": wrong})


def test_a_function_that_uses_its_own_session_is_told_so(new_sandbox: Callable[..., WorkerSandbox]) -> None:
    async def body() -> None:
        async def again(texts: Sequence[str]) -> Sequence[str]:
            return [(await sandbox.run("1")).value]

        sandbox = new_sandbox(functions={"again": again})
        await sandbox.start()
        assert "SandboxError: the sandbox is busy" in (await sandbox.run("again('x')")).error
        assert (await sandbox.run("1 + 1")).value == "2"
        await sandbox.close()

    asyncio.run(body())


def test_calls_beyond_a_budget_fail_and_the_next_cell_has_its_own(in_sandbox: InSandbox) -> None:
    """What was refused was not used up."""

    async def test(sandbox: WorkerSandbox) -> None:
        assert await value(sandbox, "len(echo(['x'] * 10))") == "10"
        assert "10 texts to functions (sandbox.limits.calls)" in (await sandbox.run("echo(['x'] * 11)")).error
        assert "sandbox.limits.call_mb" in (await sandbox.run("echo('x' * 1_100_000)")).error
        refused = "try: echo(['x'] * 4)\nexcept RuntimeError as error: print(error)"
        result = await sandbox.run(f"echo(['x'] * 8)\n{refused}\nlen(echo(['x'] * 2))")
        assert (result.value, result.stdout.count("sandbox.limits.calls")) == ("2", 1)
        assert "sandbox.limits.session_calls" in (await sandbox.run("echo(['x'] * 6)")).error
        assert await value(sandbox, "len(echo(['x'] * 5))") == "5"

    limits = CellLimits(calls=10, call_mb=1, session_calls=25)
    in_sandbox(test, limits, {"echo": echo})


def test_a_batch_that_no_cell_may_give_is_not_served_in_part(in_sandbox: InSandbox) -> None:
    served: list[str] = []

    async def count(texts: Sequence[str]) -> Sequence[str]:
        served.extend(texts)
        return texts

    async def test(sandbox: WorkerSandbox) -> None:
        assert "2500 texts to functions" in (await sandbox.run("count(['x'] * 2501)")).error
        assert not served
        assert await value(sandbox, "len(count(['x'] * 2500))") == "2500"

    in_sandbox(test, CellLimits(calls=2500), {"count": count})


def test_a_function_whose_own_work_was_cancelled_has_failed(in_sandbox: InSandbox) -> None:
    async def cancelled(texts: Sequence[str]) -> Sequence[str]:
        waiting = asyncio.ensure_future(asyncio.sleep(50))
        waiting.cancel()
        await waiting
        return texts

    async def test(sandbox: WorkerSandbox) -> None:
        assert "cancelled failed with CancelledError" in (await sandbox.run("cancelled('x')")).error

    in_sandbox(test, functions={"cancelled": cancelled})


@pytest.mark.parametrize("name", ["", "a b", "class", "1x"])
def test_a_function_has_a_name_that_cells_can_use(
    new_sandbox: Callable[..., WorkerSandbox], name: str
) -> None:
    with pytest.raises(SandboxError, match="no name of Python's"):
        new_sandbox(functions={name: echo})


def test_a_cell_that_calls_on_and_on_has_its_session_ended(in_sandbox: InSandbox) -> None:
    flood = "while True:\n    try: echo('x')\n    except RuntimeError: pass"

    async def test(sandbox: WorkerSandbox) -> None:
        with pytest.raises(SandboxError, match="calls without end"):
            await sandbox.run(flood)

    in_sandbox(test, CellLimits(calls=10), {"echo": echo})


def test_the_time_that_functions_take_is_bounded_too(in_sandbox: InSandbox) -> None:
    slow = Slow(30)

    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run("slow('x')")
        assert result.status == "interrupted"
        assert await value(sandbox, "1 + 1") == "2"
        waiting = "import threading\nthreading.Thread(target=slow, args=('x',)).start()\nwhile True: pass"
        assert (await sandbox.run(waiting)).status == "interrupted"

    in_sandbox(test, CellLimits(seconds=0.2, total_seconds=0.5), {"slow": slow})


class Lingering:
    """Takes a while to end when it is cancelled, and knows whether it was let."""

    def __init__(self, seconds: float) -> None:
        self.called = self.ended = 0
        self._seconds = seconds

    async def __call__(self, texts: Sequence[str]) -> Sequence[str]:
        self.called += 1
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(self._seconds)
            self.ended += 1
        return texts


def test_a_call_that_is_given_up_may_end_in_its_own_way(in_sandbox: InSandbox) -> None:
    lingering = Lingering(0.1)

    async def test(sandbox: WorkerSandbox) -> None:
        deaf = "while True:\n try: linger('x')\n except BaseException: pass"
        assert (await sandbox.run(deaf)).status == "timeout"
        assert lingering.ended == lingering.called > 0

    in_sandbox(test, CellLimits(seconds=9, total_seconds=0.3), {"linger": lingering})


def test_a_call_that_outlives_its_cell_does_not_end_the_session(in_sandbox: InSandbox) -> None:
    lingering = Lingering(2.0)

    async def test(sandbox: WorkerSandbox) -> None:
        left = "import threading, time; threading.Thread(target=linger, args='x').start(); time.sleep(0.1); 1"
        assert await value(sandbox, left) == "1"
        assert await value(sandbox, "2") == "2"
        assert lingering.ended == lingering.called == 1

    in_sandbox(test, CellLimits(seconds=9, total_seconds=0.5), {"linger": lingering})


def test_what_a_cell_leaves_behind_cannot_call(in_sandbox: InSandbox) -> None:
    slow = Slow(0.3)

    async def test(sandbox: WorkerSandbox) -> None:
        late = """
import threading, time
told = []
def work():
    try: slow('x')
    except RuntimeError as error: told.append(str(error))
    try: slow('y')
    except RuntimeError as error: told.append(str(error))
threading.Thread(target=work).start()
time.sleep(0.05)
"""
        await sandbox.run(late)
        told = await value(sandbox, "time.sleep(0.1); told")
        assert told.startswith("['the cell ended before slow answered'")

    in_sandbox(test, functions={"slow": slow})
