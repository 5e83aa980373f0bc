"""A language model small enough to train from nothing on a CPU: Qwen3's architecture, its own tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Self

import torch
from pydantic import Field
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.models.config import ModelConfig
from palaestra.models.device_thread import thread_of
from palaestra.models.hf import HFModel, pick_device

_PAD, _USER, _ASSISTANT, _END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
_PIECES = r" ?\d+(:\d+)?| ?\p{L}+( \p{L}+)*|\s*[^\w\s]+\s*|\s+|_+"
"""What a token may span: a clock time, a phrase of several words, punctuation with the space around it.

A tiny model sees few texts, all alike; tokens as long as their recurring phrases make its sequences short.
"""
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '" + _ASSISTANT + "' if message.role == 'assistant' else '" + _USER + "' }}{{ message.content }}"
    "{% if message.role == 'assistant' %}" + _END + "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}" + _ASSISTANT + "{% endif %}"
)


class TinyConfig(Record):
    """The defaults make a model of 1.3 million parameters."""

    vocabulary: int = Field(default=640, ge=270)
    """Tokens at most; 256 of them are the bytes, so that every text can be written."""
    hidden: int = 160
    layers: int = 4
    heads: int = 4
    feed_forward: int = 480
    window: int = 512
    """Tokens of prompt and completion together."""


class TinyModel(HFModel):
    """`tiny/<text file>`: untrained weights, and a tokenizer trained on the lines of the file."""

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        path = Path(config.name.removeprefix("tiny/"))
        if not path.is_file():
            raise ConfigError(f"{config.name}: there is no text file {path} to train a tokenizer on")
        return cls.build(
            config.name, path.read_text(encoding="utf-8").splitlines(), TinyConfig(), config.device
        )

    @classmethod
    def build(
        cls, name: str, corpus: Iterable[str], config: TinyConfig, device: str = "auto", seed: int = 0
    ) -> Self:
        """A model with random weights that depend on `seed` alone, and a tokenizer fitted to `corpus`."""
        tokenizer = _train_tokenizer(corpus, config.vocabulary)
        place, architecture = pick_device(device), _architecture(config, tokenizer)
        return cls(name, thread_of(place).submit(_untrained, architecture, place, seed).result(), tokenizer)


def _untrained(architecture: Qwen3Config, device: torch.device, seed: int) -> Qwen3ForCausalLM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Qwen3ForCausalLM(architecture)
    module.to(device)  # type: ignore[arg-type]
    return module


def _train_tokenizer(corpus: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_PAD, _USER, _ASSISTANT, _END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_PAD, eos_token=_END)
    fast.chat_template = _CHAT_TEMPLATE
    return fast


def _architecture(config: TinyConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=config.feed_forward,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=max(1, config.heads // 2),
        head_dim=config.hidden // config.heads,
        max_position_embeddings=config.window,
        tie_word_embeddings=True,
        use_sliding_window=False,
        max_window_layers=config.layers,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
