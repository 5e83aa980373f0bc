import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.sandbox.descriptors import descriptors

InSandbox = Callable[..., None]


async def value(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


def test_cells_share_variables_and_show_the_last_expression(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("import math\nx = [1, 2]\n_hidden = 1\ndef twice(n):\n    return 2 * n")
        result = await sandbox.run(
            "print('out')\nimport sys\nprint('err', file=sys.stderr)\ntwice(len(x)), x"
        )
        assert (result.stdout, result.stderr, result.value) == ("out\n", "err\n", "(4, [1, 2])")
        assert [(v.name, v.type, v.size) for v in result.variables] == [
            ("x", "list", 2),
            ("twice", "function", None),
        ]
        assert (await sandbox.run("x = None\nx")).value == ""

    in_sandbox(test)


def test_variables_that_a_cell_binds_or_makes_longer_are_told_apart(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        async def changed(code: str) -> list[str]:
            return [v.name for v in (await sandbox.run(code)).variables if v.changed]

        assert await changed("a, b, c = [1], [2], [3]") == ["a", "b", "c"]
        assert await changed("a") == []
        assert await changed("a.append(0); b = [5]; d = c") == ["a", "b", "d"]
        assert await changed("for i in range(300): globals()[f'v{i}'] = i") == [
            f"v{i}" for i in range(200, 300)
        ]
        assert await changed("a = 7") == ["a"]

    in_sandbox(test)


def test_an_error_is_a_short_traceback_of_the_cells_own_lines(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("import json\ndef load(text):\n    return json.loads(text)")
        result = await sandbox.run("print('before')\nload('{')")
        assert (result.status, result.stdout) == ("error", "before\n")
        assert '"<cell 1>", line 3, in load' in result.error
        assert '"<cell 2>", line 2, in <module>' in result.error
        assert "json/" not in result.error
        assert result.error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")
        assert "SyntaxError" in (await sandbox.run("1 +")).error

    in_sandbox(test)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): return f()\nf()", "RecursionError"),
        ("bytearray(1 << 40)", "MemoryError"),
        ("input()", "EOFError"),
        ("print(10 ** 5000)", "Exceeds the limit"),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
            "<exception str() failed>",
        ),
        (
            "import threading, time\nfor _ in range(10_000):\n"
            "    threading.Thread(target=time.sleep, args=(30,)).start()",
            "can't start new thread",
        ),
        ("import builtins\nbuiltins.len = builtins.isinstance = builtins.repr = None\n1/0", "ZeroDivision"),
        ("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n1/0", "ZeroDivisionError"),
    ],
)
def test_the_session_outlives_a_cell_that_goes_wrong(in_sandbox: InSandbox, code: str, error: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("kept = 7")
        result = await sandbox.run(code)
        assert result.status == "error"
        assert error in result.error
        assert await value(sandbox, "kept + len('abc')") == "10"
        assert (await sandbox.run("while True: pass", seconds=0.2)).status == "interrupted"

    in_sandbox(test)


@pytest.mark.parametrize(
    "name",
    ["'\\x00' * 9_999", "'\\U0001f600' * 9_999", "'a' * 9_999", "'\\ud800'"],
)
def test_names_of_any_kind_do_not_end_the_session(in_sandbox: InSandbox, name: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        code = f"for i in range(150): globals()[{name} + str(i)] = type({name}, (), {{}})()"
        assert (await sandbox.run(code)).status in ("ok", "error")
        assert await value(sandbox, "1 + 1") == "2"

    in_sandbox(test)


@pytest.mark.parametrize("raises", ["raise TimeoutError('too late')", "open('/nonexistent')"])
@pytest.mark.parametrize("pause", [0.16, 0.6])
def test_an_alarm_that_rings_between_cells_does_not_end_the_session(
    in_sandbox: InSandbox, pause: float, raises: str
) -> None:
    """Neither while the session waits nor, later, while it stands still."""

    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run(
            "import signal\nrung = []\n"
            f"def ring(*_):\n    rung.append(1)\n    {raises}\n"
            "signal.signal(signal.SIGALRM, ring)\n"
            f"signal.setitimer(signal.ITIMER_REAL, {pause / 2})"
        )
        await asyncio.sleep(pause)
        assert await value(sandbox, "len(rung)") == "1"

    in_sandbox(test)


def test_outputs_and_stdin_work_again_after_a_cell_closed_them(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("import os, sys\nsys.stdout.close()\nsys.stdin.close()\nos.close(0)")
        assert (await sandbox.run("sys.stdout = None")).status == "ok"
        assert (await sandbox.run("print('again')")).stdout == "again\n"

    in_sandbox(test)


def test_output_without_end_is_cut_in_the_middle(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run("import sys\nprint('head', 'x' * 50_000_000, 'tail')\n'v' * 5_000")
        assert result.truncated
        assert len(result.stdout) <= 1_000
        assert len(result.value) <= 1_000
        assert result.stdout.startswith("head xxx")
        assert result.stdout.endswith("xxx tail\n")
        assert "characters left out" in result.stdout
        assert not (await sandbox.run("print('x' * 500)")).truncated
        endless = await sandbox.run("while True: print('y' * 10_000)", seconds=0.5)
        assert (endless.status, endless.truncated) == ("interrupted", True)
        assert endless.stdout.startswith("yyy")

    in_sandbox(test)


def test_bytes_that_are_no_text_and_texts_that_are_no_utf8_are_replaced(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(
            "import os; os.write(1, b'raw \\xff\\x00\\n'); os.write(2, b'late'); '\\ud800'"
        )
        assert (result.stdout, result.stderr) == ("raw \N{REPLACEMENT CHARACTER}\x00\n", "late")
        assert result.value == "'\\ud800'"
        assert (await sandbox.run("print('\\ud800', end='')")).stdout == "?"
        assert (await sandbox.run("raise ValueError('\\ud800')")).error.endswith("ValueError: ?")
        assert (await sandbox.run("x = '\ud800'")).status == "ok"

    in_sandbox(test)


@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import queue; queue.SimpleQueue().get()",
        "import threading; threading.Lock().acquire(); threading.Event().wait()",
        "class A:\n    def __repr__(self):\n        while True: pass\nA()",
        "import signal; signal.signal(signal.SIGALRM, lambda *_: None); signal.alarm(0)\nwhile True: pass",
    ],
)
def test_a_cell_out_of_time_is_interrupted_and_its_variables_survive(
    in_sandbox: InSandbox, code: str
) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(f"kept = 7\n{code}", seconds=0.3)
        assert result.status == "interrupted"
        assert "KeyboardInterrupt\nThe cell was interrupted after " in result.error
        assert await value(sandbox, "kept") == "7"

    in_sandbox(test)


@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        "10 ** 10 ** 8",
        "import re; re.match('(a|aa)+$', 'a' * 80 + 'b')",
        "import sys; sys.setswitchinterval(1e9)\nwhile True: pass",
    ],
)
def test_a_cell_that_does_not_stop_is_killed(in_sandbox: InSandbox, code: str) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run(f"print('said')\n{code}", seconds=0.3)
        assert (result.status, result.stdout) == ("timeout", "said\n")
        with pytest.raises(SandboxError, match="start"):
            await sandbox.run("1")
        await sandbox.start()
        assert await value(sandbox, "1 + 1") == "2"

    in_sandbox(test)


def test_an_interrupt_reaches_the_cell_that_runs_and_no_other(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.interrupt()
        assert await value(sandbox, "1 + 1") == "2"
        catching = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: caught = True\ncaught"
        cell = asyncio.create_task(sandbox.run(catching))
        await asyncio.sleep(0.2)
        await sandbox.interrupt()
        result = await cell
        assert (result.status, result.value) == ("ok", "True")
        for _ in range(50):
            cell = asyncio.create_task(sandbox.run("sum(range(1_000))"))
            await asyncio.sleep(0)
            await sandbox.interrupt()
            assert (await cell).status in ("ok", "interrupted")
        assert await value(sandbox, "caught") == "True"
        await sandbox.close()
        await sandbox.interrupt()

    in_sandbox(test)


def test_a_session_that_ends_itself_is_reported_and_can_be_started_again(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        for ending, told in [("os._exit(7)", "ended itself"), ("os.closerange(3, 100)", "ended itself")]:
            result = await sandbox.run(f"import os\nlost = 1\nprint('said')\n{ending}")
            assert (result.status, result.stdout) == ("died", "said\n")
            assert told in result.error
            with pytest.raises(SandboxError, match="start"):
                await sandbox.run("1")
            await sandbox.start()
            assert "NameError" in (await sandbox.run("lost")).error

    in_sandbox(test)


def test_a_session_does_one_thing_at_a_time(new_sandbox: Callable[..., WorkerSandbox]) -> None:
    async def body() -> None:
        sandbox = new_sandbox()
        with pytest.raises(SandboxError, match="not running"):
            await sandbox.run("1")
        starting = asyncio.create_task(sandbox.start())
        await asyncio.sleep(0)
        with pytest.raises(SandboxError, match="close it before"):
            await sandbox.start()
        await starting
        cell = asyncio.create_task(sandbox.run("import time; time.sleep(0.2); 'done'"))
        await asyncio.sleep(0.05)
        with pytest.raises(SandboxError, match="one cell at a time"):
            await sandbox.run("1")
        assert (await cell).value == "'done'"
        await sandbox.close()
        await sandbox.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("code", "seconds"), [(None, None), (b"1", None), ("1", "5"), ("1", -1), ("1", math.nan)]
)
def test_what_cannot_be_run_costs_nothing(in_sandbox: InSandbox, code: Any, seconds: Any) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await sandbox.run("x = 1")
        with pytest.raises((SandboxError, TypeError, AttributeError)):
            await sandbox.run(code, seconds=seconds)
        assert await value(sandbox, "x") == "1"

    in_sandbox(test)


def test_a_session_can_be_closed_after_its_loop_ended(new_sandbox: Callable[..., WorkerSandbox]) -> None:
    sandbox = new_sandbox()

    async def start_and_leave() -> None:
        await sandbox.start()
        assert await value(sandbox, "kept = 7; kept") == "7"

    opened: set[tuple[str, str]] = set()
    for _ in range(2):
        asyncio.run(start_and_leave())
        with pytest.raises(SandboxError, match="started in another event loop"):
            asyncio.run(sandbox.run("kept"))
        asyncio.run(sandbox.close())
        asyncio.run(sandbox.close())
        with pytest.raises(SandboxError, match="not running"):
            asyncio.run(sandbox.run("kept"))
        opened = opened or descriptors()  # what the first session of a backend starts stays
    assert not descriptors() - opened


def test_cancelling_a_cell_ends_the_session(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        cell = asyncio.create_task(sandbox.run("while True: pass"))
        await asyncio.sleep(0.1)
        cell.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cell
        with pytest.raises(SandboxError, match="not running"):
            await sandbox.run("1")

    in_sandbox(test)


def test_many_sessions_at_once_share_nothing(new_sandbox: Callable[..., WorkerSandbox]) -> None:
    async def one(number: int) -> str:
        sandbox = new_sandbox()
        await sandbox.start()
        code = f"import time; time.sleep(0.05); open('mine', 'w').write('{number}'); print({number})"
        printed = (await sandbox.run(code)).stdout
        read = (await sandbox.run("open('mine').read()")).value
        await sandbox.close()
        return printed + read

    async def body() -> None:
        assert await asyncio.gather(*map(one, range(12))) == [f"{n}\n'{n}'" for n in range(12)]

    asyncio.run(body())


def test_too_little_memory_is_told_at_the_start(new_sandbox: Callable[..., WorkerSandbox]) -> None:
    async def body() -> None:
        sandbox = new_sandbox(CellLimits(memory_mb=128))
        await sandbox.start()
        assert "MemoryError" in (await sandbox.run("bytearray(300_000_000)")).error
        assert (await sandbox.run("1 + 1")).value == "2"
        await sandbox.close()

    asyncio.run(body())


def test_a_process_that_dies_by_a_signal_without_a_name_tells_its_number(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        result = await sandbox.run("import os, signal; os.kill(os.getpid(), signal.SIGRTMIN + 1)")
        assert result.status == "died"
        assert "was killed by signal 35" in result.error

    in_sandbox(test)
