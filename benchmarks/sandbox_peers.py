"""What other projects run model-written code with, measured.

    .venv-peers/bin/python -m benchmarks.sandbox_peers NAME REPEATS

benchmarks/sandbox.py starts it, in an environment that has the peers and not Palaestra. Prints a JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import inspect_ai.util._sandbox.local as inspect_local
from jupyter_client.manager import KernelManager
from rlm.clients.base_lm import BaseLM
from rlm.core.lm_handler import LMHandler
from rlm.core.types import ModelUsageSummary, UsageSummary
from rlm.environments.ipython_repl import IPythonREPL
from rlm.environments.local_repl import LocalREPL
from smolagents.local_python_executor import BASE_PYTHON_TOOLS, LocalPythonExecutor

from benchmarks.sandbox_probes import count_escapes, plant

TEXT = "x" * 99 + "\n"
LOOP = "total = 0\nfor i in range({n}):\n    total += i * i\n"


class Peer(Protocol):
    def run(self, code: str) -> str:
        """What it printed, or the error."""
        ...

    def load(self, text: str) -> None:
        """Bind it to `context`."""
        ...

    callback: str | None
    """Code that calls a function of the host once; None where there is no such thing."""

    def close(self) -> None: ...


class EchoLM(BaseLM):  # type: ignore[misc]
    def completion(self, prompt: Any) -> str:
        return str(prompt)

    async def acompletion(self, prompt: Any) -> str:
        return str(prompt)

    def get_usage_summary(self) -> UsageSummary:
        return UsageSummary(model_usage_summaries={"echo": self.get_last_usage()})

    def get_last_usage(self) -> ModelUsageSummary:
        return ModelUsageSummary(total_calls=1, total_input_tokens=1, total_output_tokens=1)


class RLM:
    callback: str | None = "llm_query('x')"

    def __init__(self, kernel: str | None) -> None:
        self._handler = LMHandler(EchoLM("echo"))
        address = self._handler.start()
        if kernel:
            self._repl = IPythonREPL(lm_handler_address=address, kernel_mode=kernel)
        else:
            self._repl = LocalREPL(lm_handler_address=address)

    def run(self, code: str) -> str:
        result = self._repl.execute_code(code)
        return str(result.stdout) + str(result.stderr)

    def load(self, text: str) -> None:
        self._repl.load_context(text)

    def close(self) -> None:
        self._repl.cleanup()
        self._handler.stop()


class SmolAgents:
    callback: str | None = "echo('x')"

    def __init__(self) -> None:
        self._executor = LocalPythonExecutor([])
        self._executor.static_tools = {**BASE_PYTHON_TOOLS, "echo": lambda text: text}

    def run(self, code: str) -> str:
        try:
            result = self._executor(code)
        except Exception as error:  # noqa: BLE001 - whatever the executor raises is the code's error
            return str(error)
        return f"{result.logs}\n{result.output}"

    def load(self, text: str) -> None:
        self._executor.send_variables({"context": text})

    def close(self) -> None: ...


class Jupyter:
    callback: str | None = None

    def __init__(self) -> None:
        self._manager = KernelManager()
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready()

    def run(self, code: str) -> str:
        printed = io.StringIO()

        def keep(message: dict[str, Any]) -> None:
            content = message["content"]
            printed.write(content.get("text", "") + "\n".join(content.get("traceback", [])))

        self._client.execute_interactive(code, output_hook=keep)
        return printed.getvalue()

    def load(self, text: str) -> None:
        self.run(f"context = {text!r}")

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)


class Inspect:
    """Its local sandbox: a command per cell, without state."""

    callback: str | None = None

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._sandbox = inspect_local.LocalSandboxEnvironment()

    def run(self, code: str) -> str:
        done = self._loop.run_until_complete(self._sandbox.exec([sys.executable, "-c", code]))
        return str(done.stdout) + str(done.stderr)

    def load(self, text: str) -> None:
        self._loop.run_until_complete(self._sandbox.write_file("context", text))
        self.run("context = open('context').read()")

    def close(self) -> None:
        self._sandbox.directory.cleanup()
        self._loop.close()


PEERS: dict[str, Callable[[], Peer]] = {
    "rlms LocalREPL": lambda: RLM(None),
    "rlms IPythonREPL, subprocess": lambda: RLM("subprocess"),
    "smolagents LocalPythonExecutor": SmolAgents,
    "ipykernel, jupyter_client": Jupyter,
    "inspect_ai local": Inspect,
}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(make: Callable[[], Peer], repeats: int) -> dict[str, Any]:
    plant()
    starts, passes = [], []
    for _ in range(repeats):
        passes.append(seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)))
        started = time.perf_counter()
        peer = make()
        peer.run("1")
        starts.append(time.perf_counter() - started)
        peer.close()
    peer = make()
    empty = statistics.median(seconds(lambda: peer.run("pass")) for _ in range(100))
    calls = None
    if peer.callback is not None:
        calls = 500 / seconds(lambda: peer.run(f"for _ in range(500):\n    {peer.callback}"))
    loop = min(seconds(lambda: peer.run(LOOP.format(n=300_000))) for _ in range(3)) - empty
    names: dict[str, Any] = {}
    plain = min(seconds(lambda: exec(LOOP.format(n=300_000), names)) for _ in range(3))
    load = seconds(lambda: peer.load(TEXT * 400_000))
    loaded = statistics.median(seconds(lambda: peer.run("pass")) for _ in range(20))
    escapes = count_escapes(peer.run)
    peer.close()
    return {
        "start_ms": 1000 * statistics.median(starts),
        "start_ratio": statistics.median(starts) / statistics.median(passes),
        "empty_cell_us": 1e6 * empty,
        "calls_per_second": calls,
        "load_40_mb_ms": 1000 * load,
        "empty_cell_with_40_mb_us": 1e6 * loaded,
        "loop_ratio": loop / plain,
        "escapes": escapes,
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        measured = measure(PEERS[sys.argv[1]], int(sys.argv[2]))
    print(json.dumps(measured))
