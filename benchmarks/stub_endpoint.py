"""A language model's endpoint that plays the parts of `benchmarks/recursion.py`, for any RLM.

    python -m benchmarks.stub_endpoint --latency 0.05

Prints its base URL. Every answer takes `latency` seconds. `GET /stats` has the calls, and the most at once,
since it was asked last.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
from typing import Any

from aiohttp import web

BATCH = "replies = llm_query_batched([f'ECHO {number}' for number in range(256)])\n{answer}"
CHILDREN = """
import inspect
prompts = [f'CHILD <{number}>' for number in range(64)]
takes_contexts = 'contexts' in inspect.signature(rlm_query_batched).parameters
replies = rlm_query_batched(prompts, prompts) if takes_contexts else rlm_query_batched(prompts)
{answer}
"""
WORK = "import time\nprint('begin', context)\ntime.sleep(0.05)\nprint('end', context)"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--latency", type=float, default=0.0, help="seconds")
    stub = Stub(options.parse_args().latency)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        web.run_app(stub.app(), sock=listener, print=None, access_log=None)


class Stub:
    """Served by aiohttp, which leaves more of the machine to the clients that are measured than uvicorn."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._calls = 0
        self._under_way = 0
        self._most_at_once = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [web.post("/v1/chat/completions", self._complete), web.get("/stats", self._tell_and_forget)]
        )
        return app

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._calls += 1
        self._under_way += 1
        self._most_at_once = max(self._most_at_once, self._under_way)
        await asyncio.sleep(self._latency)
        self._under_way -= 1
        content = reply([(each["role"], _text(each)) for each in body["messages"]])
        message = {"role": "assistant", "content": content}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(
            {"id": "stub", "object": "chat.completion", "created": 0, "model": body["model"]}
            | {"choices": [choice], "usage": usage}
        )

    async def _tell_and_forget(self, request: web.Request) -> web.Response:
        told = {"calls": self._calls, "most_at_once": self._most_at_once}
        self._calls = self._most_at_once = 0
        return web.json_response(told)


def reply(messages: list[tuple[str, str]]) -> str:
    """What a model would say that does as the words in capitals tell it."""
    said = "\n".join(text for _, text in messages)
    if echo := re.fullmatch(r"ECHO (\d+)", messages[-1][1].strip()):
        return echo[1]
    speak = _dspy if "[[ ## code ## ]]" in said else _fenced
    if "JOB" not in said:
        return speak(*_child(messages))
    if "JOB CHILDREN" in said:
        return speak(CHILDREN, "' '.join(replies)")
    return speak(BATCH, "' '.join(replies)") if "JOB BATCH" in said else speak("{answer}", "'42'")


def _child(messages: list[tuple[str, str]]) -> tuple[str, str]:
    """Print, sleep, print again; then answer with one's number if the output was whole and nothing else."""
    if not any(role == "assistant" for role, _ in messages):
        return WORK, ""
    seen = "\n".join(text for role, text in messages if role != "assistant")
    printed = re.findall(r"(begin|end) CHILD <(\d+)>", seen)
    right = [word for word, _ in printed] == ["begin", "end"] and printed[0][1] == printed[1][1]
    return "{answer}", repr(printed[0][1] if right else "wrong")


def _fenced(code: str, answer: str) -> str:
    last = f'answer["content"] = {answer}\nanswer["ready"] = True' if answer else ""
    return f"```repl\n{code.replace('{answer}', last)}\n```"


def _dspy(code: str, answer: str) -> str:
    last = f"SUBMIT(answer={answer})" if answer else ""
    return (
        "[[ ## reasoning ## ]]\nAs told.\n\n[[ ## code ## ]]\n"
        f"```python\n{code.replace('{answer}', last)}\n```\n\n[[ ## completed ## ]]"
    )


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


if __name__ == "__main__":
    main()
