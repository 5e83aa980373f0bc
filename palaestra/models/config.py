"""Which language model to use, and how to reach it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from palaestra.core.record import Record
from palaestra.models.repeated import Repetition


class ContrastConfig(Record):
    """Contrastive decoding (arXiv 2210.15097): what a smaller model would say as well counts for less."""

    amateur: str
    """hf/<folder or hub id>: a weaker model with the same vocabulary. Its weights have the expert's type."""
    plausibility: float = Field(default=0.1, gt=0, le=1)
    """α: tokens are left out to which the expert gives less than this share of its likeliest one's
    probability; 1 is the expert alone, decoded greedily."""
    amateur_temperature: float = Field(default=1.0, gt=0)
    """τ; in the paper 0.5 for GPT-2 XL beside its smallest model, 1 for OPT-13B beside 125M."""
    beams: int = Field(default=1, ge=1)
    """Hypotheses at once where the temperature is 0; 1 is greedy, the paper has 5."""


class EngineConfig(Record):
    """An engine of vLLM."""

    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share one model."""
    memory: float = Field(default=0.9, gt=0, le=1)
    """Share of each GPU's memory for weights and cache; leave room for a trainer beside it."""


class ModelConfig(Record):
    """One language model. Where a configuration wants one, its bare name is enough: `model: openai/gpt-5`."""

    name: str
    """`backend/model`: hf/<folder or hub id>, vllm/<folder or hub id>, tiny/<text file>, scripted/<program>,
    replay/<run folder>, or what LiteLLM routes: openai/gpt-5, anthropic/claude-sonnet-4-5, ollama/qwen3,
    hosted_vllm/<name>."""
    api_base: str | None = Field(default=None, pattern="^https?://")
    """Where a remote model is served, such as http://127.0.0.1:8000/v1; null is the provider's own."""
    api_key_variable: str | None = None
    """Environment variable that holds the key, never the key itself; null is the provider's usual one."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds that one request may take."""
    retries: int = Field(default=4, ge=0)
    """Times that a request is sent again after a rate limit, an overload, a timeout or a lost connection."""
    concurrency: int | None = Field(default=None, ge=1)
    """Requests under way at once at one address, null is 16; where models share an address, the smallest
    number holds. Local models: completions decoded together, null is 256."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Requests that begin in a minute at one address, evenly spaced, repeats included; null is no limit."""
    context_window: int | None = Field(default=None, ge=1)
    """Tokens of prompt and completion together; null is what the backend knows."""
    device: str = "auto"
    """Local models only: cpu, cuda, cuda:1, …; auto takes a GPU where there is one."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Local models only: the type of the weights; auto follows the checkpoint."""
    engine: EngineConfig = EngineConfig()
    """vllm/ models only."""
    contrast: ContrastConfig | None = None
    """hf/ models only: decode against a weaker model; null decodes as usual."""
    repeat: Repetition = "none"
    """The last user message is said again: once, after words that say so (verbose), twice (three), or its
    last paragraph alone (question). padding adds as many tokens of periods, for comparison."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value
