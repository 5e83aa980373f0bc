import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits, HostFunction
from palaestra.sandbox.process import ProcessSandbox

LIMITS = CellLimits(seconds=20, output_chars=1_000)


def with_sandbox(
    test: Callable[[ProcessSandbox], Awaitable[None]],
    limits: CellLimits = LIMITS,
    functions: Mapping[str, HostFunction] | None = None,
) -> None:
    async def body() -> None:
        sandbox = ProcessSandbox(limits, functions or {})
        await sandbox.start()
        try:
            await test(sandbox)
        finally:
            await sandbox.close()

    asyncio.run(body())


async def value(sandbox: ProcessSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


def is_alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_cells_share_variables_and_show_the_last_expression() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
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

    with_sandbox(test)


def test_an_error_is_a_short_traceback_of_the_cells_own_lines() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        await sandbox.run("import json\ndef load(text):\n    return json.loads(text)")
        result = await sandbox.run("print('before')\nload('{')")
        assert (result.status, result.stdout) == ("error", "before\n")
        assert '"<cell 1>", line 3, in load' in result.error
        assert '"<cell 2>", line 2, in <module>' in result.error
        assert "json/" not in result.error
        assert result.error.splitlines()[-1].startswith("json.decoder.JSONDecodeError: ")
        assert "SyntaxError" in (await sandbox.run("1 +")).error

    with_sandbox(test)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): return f()\nf()", "RecursionError"),
        ("bytearray(1 << 40)", "MemoryError"),
        ("input()", "EOFError"),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
            "<exception str() failed>",
        ),
        (
            "import threading, time\nfor _ in range(10_000):\n"
            "    threading.Thread(target=time.sleep, args=(30,)).start()",
            "can't start new thread",
        ),
        ("import builtins\nbuiltins.len = builtins.isinstance = None\n1/0", "ZeroDivisionError"),
    ],
)
def test_the_session_outlives_a_cell_that_goes_wrong(code: str, error: str) -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        await sandbox.run("kept = 7")
        result = await sandbox.run(code)
        assert result.status == "error"
        assert error in result.error
        assert await value(sandbox, "kept + len('abc')") == "10"

    with_sandbox(test)


def test_outputs_and_stdin_work_again_after_a_cell_closed_them() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        await sandbox.run("import os, sys\nsys.stdout.close()\nsys.stdin.close()\nos.close(0)")
        assert (await sandbox.run("sys.stdout = None")).status == "ok"
        assert (await sandbox.run("print('again')")).stdout == "again\n"

    with_sandbox(test)


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("import os; os._exit(7)", "ended itself with status 7"),
        ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("import os, signal; os.killpg(0, signal.SIGKILL)", "was killed by SIGKILL"),
        ("import os; os.closerange(3, 100)", "ended itself with status 1"),
    ],
)
def test_a_session_that_ends_itself_is_reported_and_can_be_started_again(code: str, ended: str) -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        result = await sandbox.run(f"lost = 1\nprint('said')\n{code}")
        assert (result.status, result.stdout) == ("died", "said\n")
        assert ended in result.error
        with pytest.raises(SandboxError, match="start"):
            await sandbox.run("1")
        await sandbox.start()
        assert "NameError" in (await sandbox.run("lost")).error

    with_sandbox(test)


def test_a_cell_out_of_time_is_killed_with_everything_that_it_started() -> None:
    code = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
away = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
forked = os.fork()
if forked:
    print(os.getpid(), child.pid, away.pid, forked, os.getcwd())
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""

    async def test(sandbox: ProcessSandbox) -> None:
        started = time.monotonic()
        result = await sandbox.run(code, seconds=1.5)
        assert result.status == "timeout"
        assert time.monotonic() - started < 3
        *processes, scratch = result.stdout.split()
        assert len(processes) == 4
        assert not [process for process in processes if is_alive(int(process))]
        assert not Path(scratch).exists()

    with_sandbox(test)


def test_closing_leaves_no_process_folder_or_descriptor() -> None:
    async def body() -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            sandbox = ProcessSandbox(LIMITS, {})
            await sandbox.start()
            result = await sandbox.run("import os; open('file', 'w').write('x'); os.getpid(), os.getcwd()")
            process, scratch = result.value.strip("()").split(", ")
            assert Path(scratch.strip("'"), "file").exists()
            await sandbox.close()
            await sandbox.close()
            assert not is_alive(int(process))
            assert not Path(scratch.strip("'")).exists()
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(body())


def test_nothing_of_the_host_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)

    async def test(sandbox: ProcessSandbox) -> None:
        assert "sk-canary" not in await value(sandbox, "import os; dict(os.environ)")
        assert "canary" not in await value(sandbox, "open('/proc/self/environ').read()")
        found = await value(
            sandbox,
            "import os\ndef links():\n  for fd in os.listdir('/proc/self/fd'):\n"
            "    try: yield os.readlink(f'/proc/self/fd/{fd}')\n    except OSError: pass\n"
            "sorted(link.split(':')[0] for link in links())",
        )
        assert found == "['/dev/null', 'pipe', 'pipe', 'socket']"
        assert await value(sandbox, "import resource; resource.getrlimit(resource.RLIMIT_CORE)") == "(0, 0)"

    with_sandbox(test)
    os.close(reader)
    os.close(writer)


def test_output_without_end_is_cut_in_the_middle_and_costs_the_host_no_memory() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        result = await sandbox.run("import sys\nprint('head', 'x' * 50_000_000, 'tail')\n'v' * 5_000")
        assert result.truncated
        assert len(result.stdout) <= 1_000
        assert len(result.value) <= 1_000
        assert result.stdout.startswith("head xxx")
        assert result.stdout.endswith("xxx tail\n")
        assert "characters left out" in result.stdout
        assert not (await sandbox.run("print('x' * 500)")).truncated
        endless = await sandbox.run("while True: print('y' * 10_000)", seconds=0.5)
        assert (endless.status, endless.truncated) == ("timeout", True)
        assert endless.stdout.startswith("yyy")

    with_sandbox(test)


def test_what_a_child_or_a_library_prints_past_python_is_captured_too() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        result = await sandbox.run(
            "import os, subprocess\nos.write(1, b'raw \\xff\\n')\n"
            "subprocess.run(['/bin/echo', 'child'])\nos.write(2, b'late')"
        )
        assert (result.stdout, result.stderr) == ("raw \N{REPLACEMENT CHARACTER}\nchild\n", "late")
        assert (await sandbox.run("1")).stdout == ""

    with_sandbox(test)


def test_host_functions_are_served_at_once_in_order_and_outside_the_clock() -> None:
    most = under_way = 0

    async def slow(texts: Sequence[str]) -> Sequence[str]:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.4)
        under_way -= 1
        return [text.upper() for text in texts]

    async def test(sandbox: ProcessSandbox) -> None:
        assert (
            await value(sandbox, "slow('a'), slow(['b', 'c', '']), slow([])") == "('A', ['B', 'C', ''], [])"
        )
        threads = "from concurrent.futures import ThreadPoolExecutor as T\n"
        assert await value(sandbox, threads + "list(T(8).map(slow, 'abcdefgh'))") == str(list("ABCDEFGH"))
        assert most == 8
        result = await sandbox.run("slow('x'); slow('y')\nwhile True: pass", seconds=0.5)
        assert result.status == "timeout"
        assert 1.2 < result.seconds < 2

    with_sandbox(test, functions={"slow": slow})


def test_a_batch_larger_than_a_frame_comes_back_in_order() -> None:
    async def lengths(texts: Sequence[str]) -> Sequence[str]:
        return [str(len(text)) for text in texts]

    async def test(sandbox: ProcessSandbox) -> None:
        sizes = await value(sandbox, "sizes = lengths(['é' * n for n in range(2_500)]); sizes[0], sizes[-1]")
        assert sizes == "('0', '2499')"
        batch = await value(sandbox, "lengths(['z' * 3_000_000] * 4 + ['z'])")
        assert batch == str(["3000000"] * 4 + ["1"])
        too_long = await sandbox.run("lengths('z' * 17_000_000)")
        assert "HostError: lengths takes texts of at most 16 MiB" in too_long.error

    with_sandbox(test, functions={"lengths": lengths})


def test_a_failing_host_function_is_an_error_in_the_cell_and_names_are_put_back() -> None:
    async def fail(texts: Sequence[str]) -> Sequence[str]:
        raise LookupError("nothing here")

    async def short(texts: Sequence[str]) -> Sequence[str]:
        return []

    async def test(sandbox: ProcessSandbox) -> None:
        caught = "try:\n    fail('x')\nexcept RuntimeError as error:\n    found = str(error)\nfound"
        assert await value(sandbox, caught) == "'LookupError: nothing here'"
        assert "takes one string or a list of strings" in (await sandbox.run("fail(3)")).error
        assert "HostError: ValueError: 0 answers for 1 texts" in (await sandbox.run("short('x')")).error
        await sandbox.run("fail = 5\ndel short")
        assert await value(sandbox, "callable(fail), callable(short)") == "(True, True)"

    with_sandbox(test, functions={"fail": fail, "short": short})


def test_a_function_that_uses_its_own_session_is_told_so() -> None:
    async def body() -> None:
        async def again(texts: Sequence[str]) -> Sequence[str]:
            return [(await sandbox.run("1")).value]

        sandbox = ProcessSandbox(LIMITS, {"again": again})
        await sandbox.start()
        assert "one cell at a time" in (await sandbox.run("again('x')")).error
        await sandbox.close()

    asyncio.run(body())


def test_texts_of_any_size_are_bound_and_read_back() -> None:
    text = "naïve \N{PILE OF POO} line\n" * 2_000_000

    async def test(sandbox: ProcessSandbox) -> None:
        started = time.monotonic()
        await sandbox.put("context", text)
        assert time.monotonic() - started < 5
        assert await value(sandbox, "len(context), context[:7], context.count('\\n')") == str(
            (len(text), "naïve \N{PILE OF POO}", 2_000_000)
        )
        await sandbox.put("empty", "")
        assert await sandbox.get("empty") == ""
        await sandbox.run("parts = [1, 'é']")
        assert await sandbox.get("parts") == "[1, 'é']"
        assert await sandbox.get("nothing") is None
        with pytest.raises(SandboxError, match="too many to hand out"):
            await sandbox.get("context")
        assert (await value(sandbox, "1")) == "1"

    with_sandbox(test)


def test_a_text_without_room_says_which_limit_to_raise() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        with pytest.raises(SandboxError, match=r"memory_mb, which is 128"):
            await sandbox.put("context", "x" * 300_000_000)

    with_sandbox(test, CellLimits(memory_mb=128))


def test_cancelling_a_cell_kills_the_session() -> None:
    async def body() -> None:
        sandbox = ProcessSandbox(LIMITS, {})
        await sandbox.start()
        process = int((await sandbox.run("import os; os.getpid()")).value)
        cell = asyncio.create_task(sandbox.run("while True: pass"))
        await asyncio.sleep(0.1)
        cell.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cell
        assert not is_alive(process)

    asyncio.run(body())


def test_a_fork_of_the_session_does_not_answer_for_it() -> None:
    async def test(sandbox: ProcessSandbox) -> None:
        await sandbox.run("import os\nkind = 'child' if os.fork() == 0 else 'parent'")
        assert await value(sandbox, "kind") == "'parent'"

    with_sandbox(test)


def test_many_sessions_at_once() -> None:
    async def one(number: int) -> str:
        sandbox = ProcessSandbox(LIMITS, {})
        await sandbox.start()
        code = f"import time; time.sleep(0.05); open('mine', 'w').write('{number}'); print({number})"
        printed = (await sandbox.run(code)).stdout
        read = (await sandbox.run("open('mine').read()")).value
        await sandbox.close()
        return printed + read

    async def body() -> None:
        assert await asyncio.gather(*map(one, range(20))) == [f"{n}\n'{n}'" for n in range(20)]

    asyncio.run(body())
