"""One peer at the jobs of `benchmarks/recursion.py`; runs in the peers' own environment and prints JSON.

python benchmarks/rlm_peers.py rlms|dspy URL
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

REPEATS = 7


def main() -> None:
    peer, address = sys.argv[1:]
    ask = {"rlms": rlms, "dspy": dspy}[peer](address)
    children = [("children", "CHILDREN")] if peer == "rlms" else []
    measured: dict[str, Any] = {}
    ask("ONE")
    for name, job in [("one", "ONE"), ("batch", "BATCH"), *children]:
        repeats = REPEATS if name == "one" else 1
        times = []
        before = stats(address)["calls"]
        for _ in range(repeats):
            began = time.perf_counter()
            answer, usage = ask(job)
            times.append(time.perf_counter() - began)
        measured[name] = {
            "seconds": statistics.median(times),
            "answer": answer,
            "calls_told": usage,
            "calls_counted": (stats(address)["calls"] - before) / repeats,
        }
    print(json.dumps(measured))


def rlms(address: str) -> Callable[[str], tuple[str, int]]:
    from rlm import RLM

    def ask(job: str) -> tuple[str, int]:
        agent = RLM(
            backend="openai",
            backend_kwargs={"model_name": "stub", "base_url": f"{address}/v1", "api_key": "none"},
            environment="local",
            max_depth=2,
        )
        done = agent.completion(f"JOB {job}", root_prompt=f"JOB {job}")
        told = done.usage_summary.model_usage_summaries.values()
        return str(done.response), sum(each.total_calls for each in told)

    return ask


def dspy(address: str) -> Callable[[str], tuple[str, int]]:
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


def stats(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/stats") as response:
        return dict(json.load(response))


if __name__ == "__main__":
    main()
