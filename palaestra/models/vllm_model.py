"""Language models in an engine of vLLM that this process starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Self

from transformers import PreTrainedTokenizerBase
from vllm import AsyncEngineArgs, RequestOutput, SamplingParams
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ModelError
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.hf import (
    DEFAULT_MAX_TOKENS,
    check_window,
    encode_chat,
    generation,
    read_text,
    read_tokenizer,
)
from palaestra.models.tool_calls import refuse_tools

PREFIX = "vllm/"
REQUESTS = 256
"""Decoded together at most, unless the configuration says otherwise."""


class VLLMModel:
    """`vllm/<folder or hub id>`: calls made at the same time are batched by the engine as they come.

    Completions carry token ids and log-probabilities like those of `hf/`: under the distribution that was
    sampled from, and of greedy ones under temperature 1. What the checkpoint says of generation does not
    count. A model that is served elsewhere is `hosted_vllm/<name>` with an `api_base`.
    """

    def __init__(self, name: str, engine: AsyncLLM, tokenizer: PreTrainedTokenizerBase) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.context_window: int | None = engine.model_config.max_model_len
        self._engine = engine
        self._numbers = count()

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """Start the engine; it runs in a process of its own.

        Raises:
            ConfigError: the model cannot be loaded, or a setting is none of vLLM's.
        """
        if config.api_base is not None:
            raise ConfigError(f"{config.name} runs in an engine of its own; a server's is hosted_vllm/<name>")
        if config.device != "auto":
            raise ConfigError(
                f"{config.name} runs on what vLLM was built for; leave device at auto and choose GPUs by "
                "CUDA_VISIBLE_DEVICES"
            )
        path = config.name.removeprefix(PREFIX)
        tokenizer = read_tokenizer(path, config.name)
        arguments = AsyncEngineArgs(
            model=path,
            dtype=config.dtype,
            max_model_len=config.context_window,
            max_num_seqs=config.concurrency or REQUESTS,
            tensor_parallel_size=config.engine.tensor_parallel,
            gpu_memory_utilization=config.engine.memory,
            logprobs_mode="processed_logprobs",
            generation_config="vllm",
            disable_log_stats=True,
        )
        try:
            engine = AsyncLLM.from_engine_args(arguments)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"vLLM cannot load {config.name}: {reason}; see its log above") from error
        return cls(config.name, engine, tokenizer)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        refuse_tools(self.name, sampling)
        prompt = self.encode(messages)
        check_window(self.name, self.context_window, len(prompt), sampling)
        started = time.monotonic()
        done = await self._run(prompt, self._parameters(sampling, len(prompt)))
        text = read_text(self.tokenizer, done.outputs[0].token_ids, sampling.stop)
        return _completion(prompt, done, text, time.monotonic() - started)

    async def score(self, messages: Sequence[Message], completion: str) -> tuple[float, ...]:
        prompt = self.encode(messages)
        answer = self.tokenizer.encode(completion, add_special_tokens=False)
        done = await self._run(prompt + answer, SamplingParams(max_tokens=1, prompt_logprobs=0))
        assert done.prompt_logprobs is not None  # asked for
        places = zip(answer, done.prompt_logprobs[len(prompt) :], strict=True)
        return tuple(known[token].logprob for token, known in places if known is not None)

    async def reload(self, folder: Path) -> None:
        """Take the weights of another checkpoint of the same architecture.

        Calls under way wait meanwhile; then the new weights read what there is of them, and go on.

        Raises:
            ConfigError: there are no safetensors weights in the folder, or vLLM cannot take them over.
            ModelError: the engine died of it.
        """
        if current_platform.is_cpu() and self._engine.model_config.hf_config.tie_word_embeddings:
            # Its CPU backend packs the output layer once and would go on with the old one.
            raise ConfigError(
                f"{self.name} has tied embeddings, which vLLM cannot take over on a CPU; "
                "save it with an output layer of its own"
            )
        if not any(folder.glob("*.safetensors")):
            raise ConfigError(f"{folder} holds no safetensors weights; give the folder of a saved model")
        await self._engine.pause_generation(mode="keep", clear_cache=False)
        try:
            await self._engine.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        except EngineDeadError as error:
            raise ModelError(
                f"{self.name} died of the weights in {folder}: {error}; see vLLM's log"
            ) from error
        await self._engine.reset_prefix_cache(reset_running_requests=True)
        await self._engine.resume_generation()

    async def close(self) -> None:
        self._engine.shutdown()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a conversation, up to where the model's turn begins."""
        return encode_chat(self.tokenizer, messages)

    def _parameters(self, sampling: Sampling, prompt: int) -> SamplingParams:
        room = (self.context_window or DEFAULT_MAX_TOKENS) - prompt
        schema = sampling.json_schema
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens or min(room, DEFAULT_MAX_TOKENS),
            stop=list(sampling.stop),
            seed=sampling.draw_seed,
            logprobs=0,
            structured_outputs=StructuredOutputsParams(json=dict(schema)) if schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _run(self, prompt: list[int], parameters: SamplingParams) -> RequestOutput:
        request = self._engine.generate(
            {"prompt_token_ids": prompt}, parameters, request_id=f"{self.name}-{next(self._numbers)}"
        )
        try:
            outputs = [output async for output in request]
        except (EngineDeadError, EngineGenerateError) as error:
            raise ModelError(f"the engine of {self.name} failed: {error}; see vLLM's log above") from error
        return outputs[-1]


def _completion(prompt: list[int], done: RequestOutput, text: str, seconds: float) -> Completion:
    (made,) = done.outputs
    assert made.logprobs is not None  # asked for
    ids = made.token_ids
    log_probs = [known[token].logprob for token, known in zip(ids, made.logprobs, strict=True)]
    return Completion(
        text=text,
        finish_reason="length" if made.finish_reason == "length" else "stop",
        usage=Usage(
            calls=1,
            tokens_in=len(prompt),
            tokens_out=len(ids),
            tokens_cached=done.num_cached_tokens or 0,
            seconds=seconds,
        ),
        trace=generation(prompt, ids, log_probs),
    )
