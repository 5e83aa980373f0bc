"""A recursive language model that counts words in a large context, in a process of its own.

    python -m benchmarks.large_contexts TOKENS

Prints JSON: seconds, and the memory of the host, whose peak no other measurement may have raised.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
import time
from pathlib import Path

from palaestra.agents.base import AgentContext
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.core.budget import Budget, Meter
from palaestra.core.chat import Sampling
from palaestra.core.events import discard
from palaestra.core.task import Task
from palaestra.datasets.documents import keep
from palaestra.models.scripted import ScriptedModel
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

COUNT = "```repl\nFINAL(sum(line.count('archon') for line in [context]))\n```"


async def read_large(tokens: int) -> dict[str, float]:
    """Four characters a token, eight a word."""
    words = 4 * tokens // 8
    with tempfile.TemporaryDirectory() as folder:
        context = AgentContext(
            trajectory_id="t#0",
            models=[ScriptedModel("scripted/count", lambda messages, sampling: COUNT)],
            sandbox=sandbox_factory(SandboxConfig()),
            meter=Meter(Budget()),
            sampling=Sampling(),
            emit=discard,
        )
        task = Task(id="t", prompt="How many?", context=keep("archon. " * words, Path(folder)))
        base = _peak_megabytes()
        began = time.perf_counter()
        done = await RLMAgent(RLMConfig()).run(task, context)
        assert done.answer == str(words), done
        return {
            "tokens": tokens,
            "megabytes": 8 * words / 1e6,
            "seconds": time.perf_counter() - began,
            "peak_megabytes": _peak_megabytes(),
            "base_megabytes": base,
        }


def _peak_megabytes() -> float:
    """Not that of `getrusage`, which a process takes over from the one that started it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert peak is not None
    return int(peak[1]) * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read_large(int(sys.argv[1])))))
