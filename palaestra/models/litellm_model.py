"""Every provider that LiteLLM routes: OpenAI, Anthropic, Google, Ollama, a vLLM server and many more."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self
from weakref import WeakSet

import openai
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ModelError, RequestRejected
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.limiter import limiter
from palaestra.models.provider_errors import Route, explain, is_transient, wait_before_retry
from palaestra.models.tool_calls import read_calls, wire_message, wire_tools

# LiteLLM reads these while it is imported. Prices must come from the table it ships, never from the network,
# and it must not load a .env file that happens to lie above its own folder.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

import litellm

litellm.suppress_debug_info = True  # else every error prints an advertisement on stdout

CONCURRENCY = 16
"""Requests under way at once at one address, unless the configuration says otherwise."""


class LiteLLMModel:
    """A remote model.

    Failures that may pass (rate limit, overload, timeout, lost connection) are tried again with growing,
    jittered pauses that respect Retry-After; others never. All models of one provider and address share the
    limits on requests under way and per minute; no slot is held during a pause. The cost comes from the
    price table of the installed LiteLLM, and is None for a model that is not in it or an answer without
    token counts. `usage.seconds` is the time of the request that succeeded, without queueing and pauses.

    `top_p` is sent when it is below 1, seed and stop texts when the model takes them, a JSON schema when
    LiteLLM's table says that the provider keeps to one: some refuse what they do not know.
    With a seed, every `sample_index` above 0 gets a seed of its own, derived from both.
    """

    def __init__(self, config: ModelConfig) -> None:
        self._model, self._provider = _routed(config.name)
        self.name = config.name
        self._config = config
        self._prices = _table_entry(self._provider, self._model)
        self.context_window: int | None = config.context_window or self._prices.get("max_input_tokens")
        self._route = Route(
            model=config.name,
            address=config.api_base or f"the {self._provider} API",
            key_variable=config.api_key_variable or f"{self._provider.upper()}_API_KEY",
            timeout=config.timeout,
            context_window=self.context_window,
        )
        self._api_key = self._find_key()

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        _open_models.add(self)
        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            stop=stop_after_attempt(self._config.retries + 1),
            wait=wait_before_retry,
            reraise=True,
        )
        try:
            return await retrying(self._ask, self._request(messages, sampling))
        except openai.OpenAIError as error:
            raise explain(error, self._route, retrying.statistics["attempt_number"]) from error

    async def close(self) -> None:
        """Let go of the connections; the last model to close ends those that LiteLLM keeps for all."""
        _open_models.discard(self)
        if not _open_models:
            await litellm.close_litellm_async_clients()  # type: ignore[attr-defined, no-untyped-call]
            litellm.in_memory_llm_clients_cache.flush_cache()

    async def _ask(self, request: Mapping[str, Any]) -> Completion:
        config = self._config
        address = f"{self._provider} {config.api_base}"
        shared = limiter(address, config.concurrency or CONCURRENCY, config.requests_per_minute)
        async with shared.slot():
            started = time.perf_counter()
            response = await litellm.acompletion(**request)
            return self._completion(response, time.perf_counter() - started)

    def _request(self, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self.name,
            "messages": [wire_message(message) for message in messages],
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "api_base": self._config.api_base,
            "api_key": self._api_key,
            "timeout": self._config.timeout,
            "max_retries": 0,
        }
        if sampling.top_p < 1:
            request["top_p"] = sampling.top_p
        supported = self._supported_settings()
        if sampling.draw_seed is not None and "seed" in supported:
            request["seed"] = sampling.draw_seed
        if sampling.stop and "stop" in supported:
            request["stop"] = list(sampling.stop)
        if sampling.tools:
            request["tools"] = wire_tools(sampling.tools)
        if sampling.json_schema is not None and self._keeps_to_a_schema():
            answer = {"name": "answer", "schema": sampling.json_schema, "strict": True}
            request["response_format"] = {"type": "json_schema", "json_schema": answer}
        return request

    def _find_key(self) -> str | None:
        """The key; None lets LiteLLM find it. A server of one's own may want none and gets a placeholder."""
        variable = self._config.api_key_variable
        if variable is None:
            keyless = self._config.api_base is not None and self._route.key_variable not in os.environ
            return "none" if keyless else None
        if not os.environ.get(variable):
            raise ConfigError(
                f"{self.name}: the environment variable {variable} is not set; put the key into it"
            )
        return os.environ[variable]

    def _supported_settings(self) -> Sequence[str]:
        return litellm.get_supported_openai_params(self._model, custom_llm_provider=self._provider) or ()

    def price(self, tokens_in: int, tokens_out: int) -> float | None:
        """US dollars by the price table; None for a model that is not in it."""
        if "input_cost_per_token" not in self._prices:
            return None
        costs = litellm.cost_per_token(
            model=self._model,
            custom_llm_provider=self._provider,
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
        )
        return float(sum(costs))

    def _keeps_to_a_schema(self) -> bool:
        """Of the provider's own model the table knows it; what is served elsewhere may only bear its name."""
        return self._config.api_base is None and bool(self._prices.get("supports_response_schema"))

    def _completion(self, response: litellm.ModelResponse, seconds: float) -> Completion:
        if not response.choices:
            raise ModelError(
                f"{self.name}: {self._route.address} answered with no choice at all; check the server"
            )
        choice = response.choices[0]
        if choice.finish_reason == "content_filter":
            raise RequestRejected(
                f"{self.name}: the content filter of {self._route.address} stopped the answer; "
                "rephrase the prompt or choose another model"
            )
        return Completion(
            text=choice.message.content or "",
            tool_calls=read_calls(choice.message.tool_calls),
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            usage=self._usage(response.usage, seconds),
        )

    def _usage(self, counts: litellm.Usage, seconds: float) -> Usage:
        cost = None
        if "input_cost_per_token" in self._prices and counts.prompt_tokens:
            cost = sum(
                litellm.cost_per_token(
                    model=self._model, custom_llm_provider=self._provider, usage_object=counts
                )
            )
        details = counts.prompt_tokens_details
        return Usage(
            calls=1,
            tokens_in=counts.prompt_tokens,
            tokens_out=counts.completion_tokens,
            tokens_cached=(details.cached_tokens if details else None) or 0,
            cost=cost,
            seconds=seconds,
        )


_open_models: WeakSet[LiteLLMModel] = WeakSet()
"""Those that may hold connections."""


def _routed(name: str) -> tuple[str, str]:
    """The model as its provider calls it, and the provider.

    Raises:
        ConfigError: LiteLLM routes to no such provider.
    """
    try:
        model, provider, _, _ = litellm.get_llm_provider(name)
    except openai.BadRequestError as error:
        raise ConfigError(
            f"{name}: there is no provider {name.partition('/')[0]!r}; "
            "see https://docs.litellm.ai/docs/providers for those that LiteLLM routes"
        ) from error
    return model, provider


def _table_entry(provider: str, model: str) -> Mapping[str, Any]:
    """What LiteLLM's own table says of a model; empty when it does not know it.

    Read here, because `litellm.get_model_info` asks the server of some providers.
    """
    for key in (f"{provider}/{model}", model):
        entry: Mapping[str, Any] | None = litellm.model_cost.get(key)
        if entry is not None and entry["litellm_provider"].startswith(provider):
            return entry
    return {}


def calls_tools(name: str) -> bool:
    """Whether LiteLLM's table says that the model has native tool calling."""
    model, provider = _routed(name)
    return bool(_table_entry(provider, model).get("supports_function_calling"))
