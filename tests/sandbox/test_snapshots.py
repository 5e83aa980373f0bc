from collections.abc import Callable, Sequence

import pytest

from palaestra.core.errors import SandboxError
from palaestra.sandbox.base import CellLimits, Snapshot
from palaestra.sandbox.worker_sandbox import WorkerSandbox

InSandbox = Callable[..., None]

SETTING = """
import collections, dataclasses, enum, math, re, threading
from functools import lru_cache, partial

total = 0

def add(n):
    global total
    total += n
    return total

def counter():
    count = 0
    def step():
        nonlocal count
        count += 1
        return count
    return step

step = counter(); step()

@lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)

class Color(enum.Enum):
    RED = 1

@dataclasses.dataclass
class Node:
    name: str
    children: list = dataclasses.field(default_factory=list)
    def area(self): return math.pi * add(1)

root = Node("root"); root.children.append(root)
shared = [1]; pair = (shared, shared); named = {"shared": shared, "root": root}
Point = collections.namedtuple("Point", "x y"); point = Point(1, y=2)
pattern = re.compile("a+"); square = lambda x: x * x; ask = partial(echo, "hi"); red = Color.RED
_hidden = 5; tools = {"echo": echo}
"""


async def echo(texts: Sequence[str]) -> Sequence[str]:
    return texts


async def value(sandbox: WorkerSandbox, code: str) -> str:
    result = await sandbox.run(code)
    assert result.status == "ok", result
    return result.value


async def into_new_session(sandbox: WorkerSandbox, leave_out: Sequence[str] = ()) -> Snapshot:
    snapshot = await sandbox.snapshot(leave_out)
    await sandbox.close()
    await sandbox.start()
    assert await sandbox.restore(snapshot) == {}
    return snapshot


def test_variables_functions_classes_and_what_they_share_survive(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await value(sandbox, SETTING)
        snapshot = await into_new_session(sandbox)
        assert snapshot.lost == {}
        assert {"total", "add", "root", "math", "Node", "_hidden", "tools"} <= set(snapshot.kept)
        checks = {
            "add(5), total": "(5, 5)",
            "total = 10; add(1), total": "(11, 11)",
            "step(), step()": "(2, 3)",
            "root.children[0] is root is named['root'], type(root) is Node": "(True, True)",
            "root.area() > 37": "True",
            "shared.append(2); pair, named['shared']": "(([1, 2], [1, 2]), [1, 2])",
            "point, type(point) is Point, pattern.match('aa')[0]": "(Point(x=1, y=2), True, 'aa')",
            "square(3), ask(), tools['echo']('x'), _hidden": "(9, 'hi', 'x', 5)",
            "red is Color.RED is Color(1)": "True",
            "fib(30), fib.cache_info().hits > 0": "(832040, True)",
            "Node('new')": "Node(name='new', children=[])",
        }
        for code, expected in checks.items():
            assert await value(sandbox, code) == expected
        await into_new_session(sandbox)
        assert await value(sandbox, "total, Node('again').area() > 1, red is Color.RED") == "(12, True, True)"

    in_sandbox(test, functions={"echo": echo})


def test_one_variable_that_cannot_be_kept_costs_no_other_one(in_sandbox: InSandbox) -> None:
    setting = """
import threading
shared = [1]
lock = threading.Lock()
holder = [shared, lock]
numbers = (n for n in range(3))
file = open("x", "w")
class Refusing:
    def __reduce__(self): raise SystemExit("no\\nmore")
refusing = Refusing()
deep = []
for _ in range(100_000): deep = [deep]
uses = lambda: lock
both = [shared, shared]
"""

    async def test(sandbox: WorkerSandbox) -> None:
        await value(sandbox, setting)
        snapshot = await into_new_session(sandbox)
        assert set(snapshot.lost) == {"lock", "holder", "numbers", "file", "refusing", "deep"}
        assert "cannot pickle '_thread.lock' object" in snapshot.lost["holder"]
        assert "SystemExit: no more" in snapshot.lost["refusing"]
        assert await value(sandbox, "both[0] is both[1] is shared") == "True"
        assert "name 'lock' is not defined" in (await sandbox.run("uses()")).error

    in_sandbox(test)


def test_one_variable_that_cannot_be_brought_back_costs_those_that_need_it_alone(
    in_sandbox: InSandbox,
) -> None:
    setting = """
class Picky(Exception):
    def __init__(self, a, b): super().__init__(a)
first = ["shared"]
error = Picky(1, 2)
inner = [first, "own"]
bad = [error, inner]
needs = bad
later = {"first": first}
"""

    async def test(sandbox: WorkerSandbox) -> None:
        await value(sandbox, setting)
        snapshot = await sandbox.snapshot()
        assert snapshot.lost == {}
        await sandbox.close()
        await sandbox.start()
        lost = await sandbox.restore(snapshot)
        assert set(lost) == {"error", "bad", "needs"}
        assert "TypeError" in lost["error"]
        assert await value(sandbox, "later['first'] is first is inner[0], inner[1]") == "(True, 'own')"
        await sandbox.restore(await sandbox.snapshot())
        assert await value(sandbox, "later['first'] is first") == "True"

    in_sandbox(test)


def test_texts_that_were_put_are_found_again_and_not_copied(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        for text in ("x" * 500_000, "x" * 2_000_000):  # a string, and a view
            await sandbox.put("context", text)
            await value(sandbox, "held = {'text': context}; part = context[:3]")
            snapshot = await sandbox.snapshot()
            assert len(snapshot.data) < 5_000
            await sandbox.close()
            await sandbox.start()
            lost = await sandbox.restore(snapshot)
            assert set(lost) == {"context", "held"}
            assert "it needs the text context" in lost["held"]
            await sandbox.put("context", text)
            assert await sandbox.restore(snapshot) == {}
            assert await value(sandbox, "held['text'] is context, len(context), part") == str(
                (True, len(text), "xxx")
            )
        await sandbox.run("context = 'y' * 5_000")
        await into_new_session(sandbox)
        assert await value(sandbox, "context[:2], len(context)") == "('yy', 5000)"

    in_sandbox(test, CellLimits(seconds=20, text_mb=1))


def test_a_snapshot_has_a_limit_and_leaves_out_what_it_is_told_to(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await value(
            sandbox,
            "small = 'x' * 1_000; large = 'y' * 1_500_000; other = 'z' * 700_000; last = 'z' * 600_000",
        )
        snapshot = await sandbox.snapshot(leave_out=["other"])
        assert snapshot.kept == ("small", "last")
        assert set(snapshot.lost) == {"large"}
        assert "more than 1 MiB" in snapshot.lost["large"]

    in_sandbox(test, CellLimits(seconds=20, snapshot_mb=1))


def test_errors_in_restored_functions_show_their_lines(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await value(sandbox, "def divide(n):\n    return 1 / n  # here")
        await into_new_session(sandbox)
        error = (await sandbox.run("divide(0)")).error
        assert "return 1 / n  # here" in error
        assert '"<cell 2>", line 1, in <module>' in error

    in_sandbox(test)


def test_hostile_variables_cannot_hold_a_snapshot_up(in_sandbox: InSandbox) -> None:
    async def test(sandbox: WorkerSandbox) -> None:
        await value(
            sandbox,
            "kept = 1\nclass Endless:\n    def __reduce__(self):\n        while True: pass\nx = Endless()",
        )
        with pytest.raises(SandboxError, match="KeyboardInterrupt"):
            await sandbox.snapshot()
        assert await value(sandbox, "kept") == "1"
        with pytest.raises(SandboxError, match="cannot be restored"):
            await sandbox.restore(Snapshot(data=b"\x00" * 30, kept=(), lost={}))
        assert await value(sandbox, "kept") == "1"

    in_sandbox(test, CellLimits(seconds=0.5))
