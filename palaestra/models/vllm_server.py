"""A language model on a server of vLLM that is asked by token ids and told of new weights."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import openai
from openai.types.completion_choice import CompletionChoice
from transformers import PreTrainedTokenizerBase

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ModelError
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.hf import DEFAULT_MAX_TOKENS, check_window, encode_chat, generation, read_text
from palaestra.models.provider_errors import Route, explain
from palaestra.models.tool_calls import refuse_tools

PREFIX = "hosted_vllm/"
REQUESTS = 256
"""Under way at once, unless the configuration says otherwise."""


class VLLMServer:
    """`hosted_vllm/<served name>` for a trainer: completions carry token ids and log-probabilities.

    These are of the distribution that was sampled from when the server was started with `--logprobs-mode
    processed_logprobs`. It takes new weights when VLLM_SERVER_DEV_MODE=1 was in its environment, and must see
    their folder under the same path.
    """

    def __init__(
        self, config: ModelConfig, tokenizer: PreTrainedTokenizerBase, context_window: int | None
    ) -> None:
        self.name = config.name
        self.context_window = context_window
        self._tokenizer = tokenizer
        self._served = config.name.removeprefix(PREFIX)
        self._tries = config.retries + 1
        key = config.api_key_variable or "HOSTED_VLLM_API_KEY"
        self._client = openai.AsyncOpenAI(
            base_url=config.api_base,
            api_key=os.environ.get(key, "none"),
            timeout=config.timeout,
            max_retries=config.retries,
        )
        self._route = Route(config.name, str(config.api_base), key, config.timeout, context_window)
        self._slots = asyncio.Semaphore(config.concurrency or REQUESTS)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        refuse_tools(self.name, sampling)
        prompt = encode_chat(self._tokenizer, messages)
        check_window(self.name, self.context_window, len(prompt), sampling)
        async with self._slots:
            started = time.monotonic()
            choice = await self._ask(prompt, sampling)
            seconds = time.monotonic() - started
        ids, log_probs = self._tokens(choice)
        return Completion(
            text=read_text(self._tokenizer, ids, sampling.stop),
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            usage=Usage(calls=1, tokens_in=len(prompt), tokens_out=len(ids), seconds=seconds),
            trace=generation(prompt, ids, log_probs),
        )

    async def reload(self, folder: Path) -> None:
        """Take the weights of another checkpoint of the same architecture; calls under way wait meanwhile.

        Raises:
            ModelError: the server does not.
        """
        address = str(self._client.base_url).rstrip("/").removesuffix("/v1")
        weights = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        try:
            await self._client.post(f"{address}/pause?mode=keep", cast_to=object)
            try:
                await self._client.post(f"{address}/collective_rpc", cast_to=object, body=weights)
                await self._client.post(
                    f"{address}/reset_prefix_cache?reset_running_requests=true", cast_to=object
                )
            finally:  # a server that stood still would keep all others waiting
                await self._client.post(f"{address}/resume", cast_to=object)
        except openai.OpenAIError as error:
            raise ModelError(
                f"{self.name}: {address} did not take the weights in {folder} ({error}); start it with "
                "VLLM_SERVER_DEV_MODE=1 where it sees that folder, and look at its log"
            ) from error

    async def close(self) -> None:
        await self._client.close()

    async def _ask(self, prompt: list[int], sampling: Sampling) -> CompletionChoice:
        """All that the checkpoint may say of sampling is said otherwise."""
        room = (self.context_window or DEFAULT_MAX_TOKENS) - len(prompt)
        try:
            answer = await self._client.completions.create(
                model=self._served,
                prompt=prompt,
                max_tokens=sampling.max_tokens or min(room, DEFAULT_MAX_TOKENS),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                stop=list(sampling.stop) or None,
                seed=sampling.draw_seed,
                logprobs=0,
                extra_body={"return_token_ids": True, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
            )
        except openai.OpenAIError as error:
            raise explain(error, self._route, self._tries) from error
        return answer.choices[0]

    def _tokens(self, choice: CompletionChoice) -> tuple[list[int], list[float]]:
        ids = (choice.model_extra or {}).get("token_ids")
        told = choice.logprobs.token_logprobs if choice.logprobs else None
        if ids is None or told is None:
            raise ModelError(
                f"{self.name}: {self._route.address} tells no token ids or log-probabilities; "
                "let vLLM serve it, 0.11 or newer"
            )
        return ids, told
