"""One peer at one job of `benchmarks/recursion.py`; runs in the peers' own environment and prints JSON.

python benchmarks/rlm_peers.py rlms|rlms-alone|rlms-kernels|dspy ONE|BATCH|CHILDREN URL
"""

from __future__ import annotations

import functools
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

REPEATS = {"ONE": 7, "BATCH": 5, "CHILDREN": 1}
Ask = Callable[[str], tuple[str, int]]
"""A job's answer, and the calls that the peer tells of."""


def main() -> None:
    peer, job, address = sys.argv[1:]
    print(json.dumps(measure(PEERS[peer](address), job, address)))


def measure(ask: Ask, job: str, address: str) -> dict[str, Any]:
    """What a job takes after a first run of one turn, and what the endpoint counts meanwhile."""
    ask("ONE")
    stats(address)
    seconds, answer, told = [], "", 0
    for _ in range(REPEATS[job]):
        began = time.perf_counter()
        answer, told = ask(job)
        seconds.append(time.perf_counter() - began)
    counted = stats(address)
    return {
        "seconds": seconds,
        "answer": answer,
        "calls_told": told,
        "calls_counted": counted["calls"] / REPEATS[job],
        "most_at_once": counted["most_at_once"],
    }


def rlms(address: str, **settings: Any) -> Ask:
    from rlm import RLM

    def ask(job: str) -> tuple[str, int]:
        agent = RLM(
            backend="openai",
            backend_kwargs={"model_name": "stub", "base_url": f"{address}/v1", "api_key": "none"},
            max_depth=2,
            **settings,
        )
        done = agent.completion(f"JOB {job}", root_prompt=f"JOB {job}")
        told = done.usage_summary.model_usage_summaries.values()
        return str(done.response), sum(each.total_calls for each in told)

    return ask


def dspy(address: str) -> Ask:
    import dspy
    from dspy.primitives.local_interpreter import LocalInterpreter

    model = dspy.LM("openai/stub", api_base=f"{address}/v1", api_key="none", cache=False)
    dspy.configure(lm=model)

    def ask(job: str) -> tuple[str, int]:
        agent = dspy.RLM("context, query -> answer", max_llm_calls=1000, interpreter_factory=LocalInterpreter)
        before = len(model.history)
        done = agent(context="text", query=f"JOB {job}")
        return str(done.answer), len(model.history) - before

    return ask


PEERS: Mapping[str, Callable[[str], Ask]] = {
    "rlms": rlms,
    "rlms-alone": functools.partial(rlms, max_concurrent_subcalls=1),
    "rlms-kernels": functools.partial(
        rlms, environment="ipython", environment_kwargs={"kernel_mode": "subprocess"}
    ),
    "dspy": dspy,
}
"""rlms as it comes, with four children at once in its own process; with one child at a time; with four at
once, each in an IPython kernel of its own."""


def stats(address: str) -> dict[str, Any]:
    """What the endpoint has counted since it was asked last."""
    with urllib.request.urlopen(f"{address}/stats") as response:
        return dict(json.load(response))


if __name__ == "__main__":
    main()
