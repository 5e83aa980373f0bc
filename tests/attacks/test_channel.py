"""Cells that speak to the host past the worker, on the channel itself."""

from __future__ import annotations

import asyncio
import os
import struct
import textwrap
from collections.abc import Sequence

import pytest

from palaestra.core.errors import ModelError, SandboxError
from palaestra.sandbox.operation import CALLS_UNDER_WAY
from palaestra.sandbox.worker.wire import Kind
from palaestra.sandbox.worker_sandbox import WorkerSandbox
from tests.attacks import watch
from tests.attacks.attack import Target, attack, worker_of

SPEAK = """
import gc
host = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Host")
cell, channel = host._cell, host._channel.fileno()
def speak(data):
    data = memoryview(data.replace(b"0" * 32, cell.encode()))
    while data:
        data = data[os.write(channel, data):]
"""
"""What a hostile worker would have at hand: the channel, and the name of the cell that runs."""
OWN, OTHER = "0" * 32, "1" * 32


def frame(kind: int, header: str, body: bytes = b"", body_length: int | None = None) -> bytes:
    encoded = header.encode()
    length = len(body) if body_length is None else body_length
    return struct.pack("!BBHIQ", kind, 1, 0, len(encoded), length) + encoded + body


def done(cell: str, more: str = "") -> str:
    return f'{{"cell": "{cell}", "status": "ok", "truncated": false, "variables": []{more}}}'


def call(number: str, lengths: str, cell: str = OWN, function: str = "echo") -> str:
    return f'{{"cell": "{cell}", "call": {number}, "function": "{function}", "lengths": {lengths}}}'


def variable(name: str, size: str = "1") -> str:
    return done(OWN).replace("[]", f'[{{"name": "{name}", "type": "int", "size": {size}}}]')


FORGED = {
    "garbage": b"\xff" * 64,
    "text": b"HTTP/1.1 200 OK\r\n\r\n" * 9,
    "an unknown type": frame(99, "{}"),
    "a type of the host's": frame(Kind.EXEC, f'{{"cell": "{OWN}"}}', b"1"),
    "a body of 2^63 bytes": frame(Kind.DONE, done(OWN), body_length=1 << 63),
    "a body of 2^64 - 1 bytes": frame(Kind.DONE, done(OWN), body_length=(1 << 64) - 1),
    "a body of 17 MiB": frame(Kind.DONE, done(OWN), body_length=17 << 20),
    "a header of 4 GiB": struct.pack("!BBHIQ", Kind.DONE, 1, 0, 0xFFFFFFFF, 0),
    "a header that says 16 MB, of brackets": (
        struct.pack("!BBHIQ", Kind.DONE, 1, 0, 16 << 20, 0) + b"[]," * 20_000
    ),
    "a header of nested brackets": frame(Kind.DONE, "[" * 60_000),
    "a header of many brackets": frame(Kind.DONE, "[" + "[]," * 20_000 + "[]]"),
    "a header that is no object": frame(Kind.DONE, "[1]"),
    "a number that JSON does not have": frame(Kind.CALL, call("NaN", "[]")),
    "a number of 60,000 digits": frame(Kind.CALL, call("9" * 60_000, "[]")),
    "a size of 60,000 digits": frame(Kind.DONE, variable("x", "9" * 60_000)),
    "an infinite number": frame(Kind.CALL, call("1e999999", "[]")),
    "an extra field": frame(Kind.DONE, done(OWN, ', "pickle": "gASV"')),
    "a class path": frame(Kind.DONE, done(OWN, ', "__class__": "subprocess.Popen"')),
    "an error with a class path": frame(Kind.DONE, done(OWN).replace('"ok"', '"builtins.SystemExit"')),
    "a wrong type": frame(Kind.CALL, call('"0"', "[]")),
    "a truth for a number": frame(Kind.CALL, call("true", "[]")),
    "a negative length": frame(Kind.CALL, call("0", "[-1]")),
    "lengths of another body": frame(Kind.CALL, call("0", "[5]"), b"four"),
    "lengths that overflow": frame(Kind.CALL, call("0", f"[{1 << 64}, -{(1 << 64) - 4}]"), b"four"),
    "an end of another cell": frame(Kind.DONE, done(OTHER)),
    "a call of another cell": frame(Kind.CALL, call("0", "[]", OTHER)),
    "ready again": frame(Kind.READY, "{}"),
    "an end in a cell's place and another": frame(Kind.DONE, done(OWN)) * 2,
    "a reply": frame(Kind.REPLY, '{"call": 0, "lengths": []}'),
    "a call with very many texts": frame(Kind.CALL, call("0", str([0] * 1001))),
    "a status that no cell has": frame(Kind.DONE, done(OWN).replace("ok", "missing")),
    "a snapshot nobody asked for": frame(Kind.DATA, f'{{"cell": "{OWN}"}}', b"gASV"),
}


@pytest.mark.parametrize("forged", FORGED)
@attack("45-50, 54, 55", "sends the host what no worker sends", on_unsafe="stopped")
async def test_forged_frames(target: Target, forged: str) -> bool:
    """The session ends with a typed error and a dead process; the host and other sessions do not notice."""
    calls: list[object] = []

    async def echo(texts: Sequence[str]) -> Sequence[str]:
        calls.append(texts)
        return texts

    async with target.session({"echo": echo}) as neighbour, target.session({"echo": echo}) as session:
        worker = await worker_of(session)
        before = watch.kibibytes(os.getpid(), "VmRSS")
        await session.run(f"{SPEAK}\nforged = {FORGED[forged]!r}")
        try:
            await session.run(f"{SPEAK}\nspeak(forged)\ntime.sleep(9)")
            await session.run("1")
        except SandboxError as error:
            ended = "its session was ended" in str(error)
        else:
            ended = False
        grown = watch.kibibytes(os.getpid(), "VmRSS") - before
        unharmed = (await neighbour.run("6 * 7")).value == "42"
        gone = watch.eventually(lambda: not watch.is_running(worker))
        with pytest.raises(SandboxError, match="not running"):
            await session.run("1")
        await session.start()
        assert (await session.run("6 * 7")).value == "42"
        return not ended or not gone or grown > 5_000 or not unharmed or bool(calls)


@attack(50, "tells of an end before its end", on_unsafe="stopped")
async def test_forged_end(target: Target) -> bool:
    """It is a claim about its own cell; the real end then belongs to no cell, and the session is over."""
    async with target.session() as session:
        forged = frame(Kind.DONE, done(OWN), b"forged")
        assert (await session.run(f"{SPEAK}\nspeak({forged!r})\ntime.sleep(0.2)")).value == "forged"
        try:
            return (await session.run("1")).status == "ok"
        except SandboxError as error:
            return "belongs to no running cell" not in str(error)


@attack(50, "answers a later cell with the name of an earlier one", on_unsafe="stopped")
async def test_replay(target: Target) -> bool:
    async with target.session() as session:
        await session.run(f"{SPEAK}\nearlier = cell")
        forged = frame(Kind.DONE, done(OTHER), b"forged")
        try:
            result = await session.run(
                f"speak({forged!r}.replace(b'1' * 32, earlier.encode()))\ntime.sleep(5)"
            )
        except SandboxError:
            return False
        return result.value == "forged"


@attack(50, "has a child or a thread that outlives the cell speak in the next one", on_unsafe="stopped")
async def test_late_speaker(target: Target) -> bool:
    async with target.session() as session:
        forged = frame(Kind.DONE, done(OWN), b"forged")
        await session.run(f"""{SPEAK}
def late():
    time.sleep(0.1)
    speak({forged!r})
threading.Thread(target=late).start()""")
        try:
            return (await session.run("time.sleep(0.3); 42")).value != "42"
        except SandboxError:
            return False


@attack(51, "floods the host with 100,000 calls", on_unsafe="stopped")
async def test_call_flood(target: Target) -> bool:
    """Few are under way at once, as many are served as the budget says, and then the session is over."""
    most = under_way = served = 0
    many = asyncio.Event()

    async def echo(texts: Sequence[str]) -> Sequence[str]:
        nonlocal most, under_way, served
        under_way, served = under_way + 1, served + 1
        most = max(most, under_way)
        if under_way == CALLS_UNDER_WAY:  # and time for more to come, if more may
            asyncio.get_running_loop().call_later(0.5, many.set)
        await many.wait()
        under_way -= 1
        return texts

    async with target.session({"echo": echo}, calls=5_000) as session:
        grown = watch.grown_since_now()
        data = frame(Kind.CALL, call("7", "[1]"), b"x")
        within = await session.run(f"{SPEAK}\nspeak({data!r} * 3000)")
        assert within.status == "ok"
        with pytest.raises(SandboxError, match="calls without end"):
            await session.run(f"{SPEAK}\nfor _ in range(100): speak({data!r} * 1000)")
        return most > CALLS_UNDER_WAY or served > 8_000 or grown() > 50_000


@attack(51, "calls what it was not offered", on_unsafe="stopped")
async def test_unoffered(target: Target) -> bool:
    names = ("nope", "__class__", "run", "../echo", "")
    async with target.session({"echo": _echo}) as session:
        code = f"""{SPEAK}
answers = []
for name in {names}:
    try: answers.append(host.call(name, ["x"]))
    except Exception as error: print(error)
answers"""
        result = await session.run(code)
        assert result.stdout.count("there is no function") == len(names)
        return result.value != "[]"


LISTENER_WAITS = "host._waiting = type('', (), {'pop': lambda *_: time.sleep(999)})()"
LARGE_ANSWER = frame(Kind.CALL, call("7", "[1]", function="large"), b"x")
DEAF = {
    "its listener waits for ever": (LISTENER_WAITS, LARGE_ANSWER),
    "its listener never gets the interpreter": ("sys.setswitchinterval(1e6)", LARGE_ANSWER),
    "it is told of refusals": (
        LISTENER_WAITS,
        frame(Kind.CALL, call("7", "[1]", function="f" * 30_000), b"x"),
    ),
}


@pytest.mark.parametrize("way", DEAF)
@attack(51, "stops reading what the host sends", on_unsafe="stopped")
async def test_deaf_worker(target: Target, way: str) -> bool:
    async def large(texts: Sequence[str]) -> Sequence[str]:
        return ["x" * (1 << 20) for _ in texts]

    deafen, data = DEAF[way]
    async with target.session({"large": large}) as session:
        grown = watch.grown_since_now()
        try:
            async with asyncio.timeout(watch.HANG_SECONDS):
                ended = await session.run(f"{SPEAK}\n{deafen}\nwhile True: speak({data!r})", seconds=0.5)
        except TimeoutError:
            return True
        assert ended.status in ("interrupted", "timeout")
        return grown() > 300_000


@attack(51, "closes half of the channel while the host writes a cell", on_unsafe="stopped")
async def test_half_closed(target: Target) -> bool:
    """The session ends and holds nothing up: neither its own cell nor the next session's start."""
    async with target.session() as session:
        await session.run(f"""{SPEAK}
def stall(*_):
    time.sleep(0.1)
    host._channel.shutdown(socket.SHUT_WR)
    time.sleep(999)
signal.signal(signal.SIGALRM, stall)
signal.setitimer(signal.ITIMER_REAL, 0.1)""")
        await asyncio.sleep(0.15)
        try:
            async with asyncio.timeout(watch.HANG_SECONDS):
                ended = await session.run("x = '" + "a" * 5_000_000 + "'", seconds=0.5)
        except TimeoutError:
            return True
        assert ended.status in ("timeout", "died")
    async with target.session() as later:
        return (await later.run("6 * 7")).value != "42"


@attack("48, 54", "sends the host a snapshot without end", on_unsafe="stopped")
async def test_endless_snapshot(target: Target) -> bool:
    piece = frame(Kind.DATA, f'{{"cell": "{OWN}"}}', bytes(1 << 20))
    async with target.session(snapshot_mb=1) as session:
        await session.run(f"""
class Flood:
    def __reduce__(self):
{textwrap.indent(SPEAK, "        ")}
        while True: speak({piece!r})
flood = Flood()""")
        grown = watch.grown_since_now()
        with pytest.raises(SandboxError, match="more data than it may"):
            await session.snapshot()
        return grown() > 100_000


@attack(51, "sends descriptors along until the host has none left", on_unsafe="stopped")
async def test_descriptors(target: Target) -> bool:
    async with target.session() as session:
        before = len(watch.descriptors())
        await session.run(f"""{SPEAK}
way = socket.socket(fileno=os.dup(channel))
for _ in range(50):
    works(way.sendmsg, [b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=200i", *[1] * 200))])
data = {frame(Kind.DONE, done(OWN))!r}.replace(b"0" * 32, cell.encode())
way.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=200i", *[1] * 200))])
time.sleep(0.2)""")
        return len(watch.descriptors()) > before


@attack(58, "calls a function that uses its own session", on_unsafe="stopped")
async def test_reentry(target: Target) -> bool:
    holder: list[WorkerSandbox] = []

    async def again(texts: Sequence[str]) -> Sequence[str]:
        return [(await holder[0].run(text)).value for text in texts]

    async with target.session({"again": again}) as session:
        holder.append(session)
        return "one cell at a time" not in (await session.run("again('6 * 7')")).error


@attack(59, "has 1,000 calls at once mix up their answers", on_unsafe="stopped")
async def test_many_calls(target: Target) -> bool:
    async def odd_ones_fail(texts: Sequence[str]) -> Sequence[str]:
        await asyncio.sleep(int(texts[0]) % 7 / 1000)
        if int(texts[0]) % 2:
            raise ModelError(f"failed {texts[0]}")
        return [f"answer {text}" for text in texts]

    code = """
answers = {}
def ask(number):
    try: answers[number] = ask_host(str(number))
    except RuntimeError as error: answers[number] = str(error)
for start in range(0, 1000, 40):
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(start, start + 40)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
sum(f"failed {n}" in answers[n] if n % 2 else answers[n] == f"answer {n}" for n in range(1000))"""
    async with target.session({"ask_host": odd_ones_fail}) as session:
        return (await session.run(code)).value != "1000"


@attack(60, "reads paths and secrets in the error of a host function", on_unsafe="stopped")
async def test_host_error(target: Target) -> bool:
    async def fails(texts: Sequence[str]) -> Sequence[str]:
        raise ValueError(f"no connection with {target.secret}")

    code = """
import traceback
try: fails("x")
except Exception as error:
    seen = traceback.format_exc() + repr(vars(error)) + repr(error.__cause__) + repr(error.__context__)
print(seen)"""
    async with target.session({"fails": fails}) as session:
        result = await session.run(code)
        assert "fails failed" in result.stdout
        return target.leaked(result) or __file__ in result.stdout


@attack(74, "puts its own function in a host function's place", on_unsafe="stopped")
async def test_replaced_function(target: Target) -> bool:
    async with target.session({"echo": _echo}) as session:
        await session.run("""
echo = lambda text: "forged"
import builtins
builtins.print = builtins.len = builtins.str = lambda *_: "forged" """)
        result = await session.run("print(echo('true')); len('abc')")
        return (result.stdout, result.value) != ("true\n", "3")


async def _echo(texts: Sequence[str]) -> Sequence[str]:
    return texts
