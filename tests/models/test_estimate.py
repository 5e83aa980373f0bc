"""Models that only count."""

from __future__ import annotations

import asyncio

import pytest

from palaestra.core.chat import Message, Sampling
from palaestra.core.config import VerbConfig
from palaestra.core.errors import ConfigError
from palaestra.core.usage import Usage
from palaestra.models.config import ModelConfig
from palaestra.models.estimate import check_models, estimating
from palaestra.models.registry import load_model


class Settings(VerbConfig):
    model: ModelConfig
    others: tuple[ModelConfig, ...] = ()


def estimate(name: str, text: str, max_tokens: int | None = None) -> Usage:
    model = load_model(estimating(Settings(model=ModelConfig(name=name))).model)
    assert model.name == name
    sampling = Sampling(max_tokens=max_tokens)
    return asyncio.run(model.generate([Message(role="user", content=text)], sampling)).usage


def test_an_estimate_is_the_longest_answer_at_the_list_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    usage = estimate("openai/gpt-4o", "x" * 3000, max_tokens=500)
    assert (usage.calls, usage.tokens_in, usage.tokens_out) == (1, 1000, 500)
    assert usage.cost == pytest.approx(0.0025 + 0.005)
    assert estimate("openai/gpt-4o", "文" * 1000).tokens_in == 1000
    assert estimate("openai/unheard-of", "x").cost is None


def test_local_models_are_free_and_their_weights_are_not_loaded() -> None:
    assert estimate("hf/no/such/folder", "x" * 30).cost == 0
    assert estimate("scripted/echo", "x" * 30, max_tokens=7) == Usage(calls=1, tokens_in=10, tokens_out=7)


@pytest.mark.parametrize("name", ["scripted/ecko", "nobody/m", "m"])
def test_models_that_cannot_be_made_are_found_wherever_they_stand(name: str) -> None:
    echo = ModelConfig(name="scripted/echo")
    check_models(Settings(model=echo, others=(echo,)))
    for settings in (
        Settings(model=ModelConfig(name=name)),
        Settings(model=echo, others=(echo, ModelConfig(name=name))),
    ):
        with pytest.raises(ConfigError):
            check_models(settings)
