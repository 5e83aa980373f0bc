"""Language models in this process, through transformers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Self

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from palaestra.core.chat import Completion, Message, Sampling, TokenTrace
from palaestra.core.errors import ConfigError, ContextTooLong
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.decoding import Decoded, Row, decode
from palaestra.models.device_thread import on_device, thread_of
from palaestra.models.log_probs import token_statistics
from palaestra.models.tool_calls import refuse_tools

DEFAULT_MAX_TOKENS = 1024
ROWS = 256
"""Decoded together at most, unless the configuration says otherwise."""


class _Batch:
    """Calls that wait for the device together; they may differ in prompt, temperature and seed."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.task: asyncio.Task[list[Completion]]


class HFModel:
    """A causal language model from a folder or the Hugging Face hub, with its own chat template.

    Calls made at the same time are decoded as one batch; those that come while the device is busy form the
    next one. Completions carry token ids and log-probabilities, so a policy can be trained on them. The
    checkpoint's own defaults of generation (temperature, repetition penalty, …) do not count: `Sampling`
    says all, and a draw is from the distribution that a trainer computes.
    """

    def __init__(
        self,
        name: str,
        module: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        rows: int = ROWS,
        context_window: int | None = None,
    ) -> None:
        self.name = name
        self.module = module.eval()
        self.module.generation_config = GenerationConfig(
            eos_token_id=module.generation_config.eos_token_id,
            bos_token_id=module.generation_config.bos_token_id,
            pad_token_id=module.generation_config.pad_token_id,
        )
        self.tokenizer = tokenizer
        self.context_window = context_window or getattr(module.config, "max_position_embeddings", None)
        self._most_rows = rows
        self._collecting: dict[str, _Batch] = {}
        self._joining = Lock()

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        module, tokenizer = read_model(config)
        return cls(config.name, module, tokenizer, config.concurrency or ROWS, config.context_window)

    async def generate(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        refuse_tools(self.name, sampling)
        prompt = self.encode(messages)
        check_window(self.name, self.context_window, len(prompt), sampling)
        shared = sampling.model_copy(update={"temperature": 0.0, "seed": None, "sample_index": 0})
        key = shared.model_dump_json()
        with self._joining:
            batch = self._collecting.get(key)
            if batch is None or batch.task.done() or len(batch.rows) >= self._most_rows:
                batch = self._collecting[key] = _Batch()
                batch.task = asyncio.create_task(self._run(key, batch, shared))
            place = len(batch.rows)
            batch.rows.append(Row(prompt, sampling.temperature, sampling.draw_seed))
        return (await asyncio.shield(batch.task))[place]

    async def score(self, messages: Sequence[Message], completion: str) -> tuple[float, ...]:
        prompt = self.encode(messages)
        answer = self.tokenizer.encode(completion, add_special_tokens=False)
        if not answer:
            return ()
        ids_NT = torch.tensor([prompt + answer], device=self.module.device)
        select_NT = torch.arange(ids_NT.shape[1], device=ids_NT.device)[None] >= len(prompt)

        def log_probs() -> list[float]:
            with torch.no_grad():
                statistics = token_statistics(self.module, ids_NT, torch.ones_like(ids_NT), select_NT)
            return statistics.log_prob_M.tolist()

        return tuple(await on_device(self.module.device, log_probs))

    async def close(self) -> None:
        """Nothing is held but memory."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The token ids of a conversation, up to where the model's turn begins."""
        return encode_chat(self.tokenizer, messages)

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer in the Hugging Face layout: `hf/<folder>` loads them again."""
        disable_progress_bar()
        self.module.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    async def _run(self, key: str, batch: _Batch, sampling: Sampling) -> list[Completion]:
        await asyncio.sleep(0)  # callers started together have all joined after one turn of the event loop
        return await on_device(self.module.device, self._decode, key, batch, sampling)

    def _decode(self, key: str, batch: _Batch, sampling: Sampling) -> list[Completion]:
        """Close the batch to newcomers and decode it; runs when the device has become free."""
        with self._joining:
            if self._collecting.get(key) is batch:
                del self._collecting[key]
            rows = batch.rows
        started = time.monotonic()
        room = (self.context_window or DEFAULT_MAX_TOKENS) - max(len(row.prompt) for row in rows)
        decoded = self._draw(rows, sampling.max_tokens or min(room, DEFAULT_MAX_TOKENS), sampling)
        seconds = (time.monotonic() - started) / len(rows)
        return [
            self._completion(row.prompt, made, sampling.stop, seconds)
            for row, made in zip(rows, decoded, strict=True)
        ]

    def _draw(self, rows: Sequence[Row], max_tokens: int, sampling: Sampling) -> list[Decoded]:
        """One completion for each row, by the settings that the rows share."""
        return decode(self.module, self.tokenizer, rows, max_tokens, top_p=sampling.top_p, stop=sampling.stop)

    def _completion(
        self, prompt: list[int], row: Decoded, stops: Sequence[str], seconds: float
    ) -> Completion:
        return Completion(
            text=read_text(self.tokenizer, row.ids, stops),
            finish_reason="stop" if row.stopped else "length",
            usage=Usage(calls=1, tokens_in=len(prompt), tokens_out=len(row.ids), seconds=seconds),
            trace=generation(prompt, row.ids, row.log_probs),
        )


def read_model(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The weights, on their device, and the tokenizer.

    Raises:
        ConfigError: there is no such folder or hub id, or it holds no chat model.
    """
    path = config.name.removeprefix("hf/")
    tokenizer = read_tokenizer(path, config.name)
    try:
        module = AutoModelForCausalLM.from_pretrained(path, dtype=config.dtype)
    except (OSError, ValueError) as error:
        raise _cannot_load(config.name, error) from error
    thread_of(pick_device(config.device)).submit(_move, module, pick_device(config.device)).result()
    return module, tokenizer


def _move(module: PreTrainedModel, device: torch.device) -> None:
    for parameter in module.parameters():
        # A view into the mapped file may be unaligned, and kernels round differently there: a policy that
        # was loaded would not give the bits of the one that was saved.
        parameter.data = parameter.data.clone()
    module.to(device)  # type: ignore[arg-type]


def read_tokenizer(path: str, name: str) -> PreTrainedTokenizerBase:
    """
    Raises:
        ConfigError: there is no such folder or hub id, or the tokenizer has no chat template.
    """
    disable_progress_bar()
    backend = name.partition("/")[0]
    if not is_hub_id(path) and not Path(path).is_dir():
        raise ConfigError(f"{name}: there is no folder {path}; give a folder or a hub id after {backend}/")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise _cannot_load(name, error) from error
    if tokenizer.chat_template is None:
        raise ConfigError(f"{name} has no chat template; use an instruction-tuned model or add a template")
    return tokenizer


def is_hub_id(path: str) -> bool:
    """Whether a path that is no folder here may be a hub id, which has one slash at most."""
    return path.count("/") <= 1 and not path.startswith(("/", "./", "../"))


def encode_chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """The token ids of a conversation, up to where the model's turn begins."""
    turns = [{"role": message.role, "content": message.content} for message in messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def generation(prompt: Sequence[int], ids: Sequence[int], log_probs: Sequence[float]) -> TokenTrace:
    """The trace of one completion."""
    return TokenTrace(
        ids=(*prompt, *ids),
        log_probs=(*[0.0] * len(prompt), *log_probs),
        mask=(*[False] * len(prompt), *[True] * len(ids)),
    )


def read_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], stops: Sequence[str]) -> str:
    """What was generated, up to the first stop string."""
    text = str(tokenizer.decode(list(ids), skip_special_tokens=True))
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]


def check_window(name: str, window: int | None, prompt: int, sampling: Sampling) -> None:
    """
    Raises:
        ContextTooLong: a prompt of so many tokens, and what is to be generated, are more than the window.
    """
    answer = sampling.max_tokens or 1
    if window is not None and prompt + answer > window:
        raise ContextTooLong(
            f"{name} has a window of {window} tokens; {prompt} in the prompt and {answer} to generate do not "
            "fit: shorten the prompt or lower max_tokens"
        )


def _cannot_load(name: str, error: Exception) -> ConfigError:
    reason = str(error).splitlines()[0]
    return ConfigError(
        f"cannot load {name}: {reason}; give a folder or a hub id after {name.partition('/')[0]}/"
    )


def pick_device(wanted: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU."""
    if wanted != "auto":
        return torch.device(wanted)
    return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
