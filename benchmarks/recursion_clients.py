"""The batch of sub-calls by plain HTTP clients: what any system can reach with them on this machine.

Each makes one call, as a root does in its first turn, and then the batch.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import aiohttp
import httpx
import openai

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read while LiteLLM is imported

import litellm

SUB_CALLS, PARALLEL = 256, 64
Call = Callable[[str], Awaitable[str]]


async def by_aiohttp(address: str) -> Sequence[str]:
    async with aiohttp.ClientSession() as session:

        async def call(prompt: str) -> str:
            async with session.post(f"{address}/v1/chat/completions", json=_body(prompt)) as response:
                return _text(await response.json())

        return await _batch(call)


async def by_httpx(address: str) -> Sequence[str]:
    async with httpx.AsyncClient() as client:

        async def call(prompt: str) -> str:
            return _text((await client.post(f"{address}/v1/chat/completions", json=_body(prompt))).json())

        return await _batch(call)


async def by_openai(address: str) -> Sequence[str]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:

        async def call(prompt: str) -> str:
            response = await client.chat.completions.create(**_body(prompt))
            return str(response.choices[0].message.content)

        return await _batch(call)


async def by_litellm(address: str) -> Sequence[str]:
    async def call(prompt: str) -> str:
        body = _body(prompt) | {"model": "openai/stub", "api_base": f"{address}/v1", "api_key": "none"}
        return str((await litellm.acompletion(**body)).choices[0].message.content)

    try:
        return await _batch(call)
    finally:
        await litellm.close_litellm_async_clients()  # type: ignore[attr-defined, no-untyped-call]
        litellm.in_memory_llm_clients_cache.flush_cache()


CLIENTS: Mapping[str, Callable[[str], Coroutine[Any, Any, Sequence[str]]]] = {
    "aiohttp": by_aiohttp,
    "httpx": by_httpx,
    "openai": by_openai,
    "litellm": by_litellm,
}


async def _batch(call: Call) -> Sequence[str]:
    await call("ECHO 0")
    slots = asyncio.Semaphore(PARALLEL)

    async def one(number: int) -> str:
        async with slots:
            return await call(f"ECHO {number}")

    return await asyncio.gather(*map(one, range(SUB_CALLS)))


def _body(prompt: str) -> dict[str, Any]:
    return {"model": "stub", "messages": [{"role": "user", "content": prompt}]}


def _text(body: dict[str, Any]) -> str:
    return str(body["choices"][0]["message"]["content"])
