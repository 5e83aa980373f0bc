"""VLLMModel beside HFModel on the same tiny Qwen3: tokens, log-probabilities, seeds, weights taken over."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import torch

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ContextTooLong
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.log_probs import token_statistics
from palaestra.models.registry import load_model
from palaestra.models.tiny import TinyConfig, TinyModel

if TYPE_CHECKING:
    from palaestra.models.vllm_model import VLLMModel

pytestmark = pytest.mark.vllm

SMALL = TinyConfig(vocabulary=300, hidden=128, layers=2, heads=2, feed_forward=128, window=256)
PROMPTS = ["plan a day", "plan", "a museum and then a park, please, in this order", "two"]
MOST_GAP = 1e-3
"""Nats between the log-probabilities of the two backends, in float32."""


def untie(model: TinyModel) -> None:
    """Give it an output layer of its own."""
    model.module.config.tie_word_embeddings = False
    model.module.lm_head.weight = torch.nn.Parameter(
        model.module.get_input_embeddings().weight.detach().clone()
    )


class Pair:
    """An engine and the transformers model that it should agree with, in one event loop."""

    def __init__(self, folders: list[Path], runner: asyncio.Runner) -> None:
        self.folders = folders
        self.run = runner.run
        self.vllm = cast("VLLMModel", load_model(ModelConfig(name=f"vllm/{folders[0]}", dtype="float32")))
        self.hf = [HFModel.from_config(ModelConfig(name=f"hf/{folder}", device="cpu")) for folder in folders]

    def ask(self, prompts: list[str], sampling: list[Sampling]) -> list[Completion]:
        async def together() -> list[Completion]:
            calls = (
                self.vllm.generate([Message(role="user", content=prompt)], each)
                for prompt, each in zip(prompts, sampling, strict=True)
            )
            return await asyncio.gather(*calls)

        return self.run(together())

    def gaps(self, completion: Completion, hf: HFModel, temperature: float) -> torch.Tensor:
        """The differences between its log-probabilities and those that transformers computes."""
        trace = completion.trace
        assert trace is not None
        ids, mask = torch.tensor([trace.ids]), torch.tensor([trace.mask])
        with torch.no_grad():
            expected = token_statistics(hf.module, ids, torch.ones_like(ids), mask, temperature).log_prob_M
        return (torch.tensor(trace.log_probs)[mask[0]] - expected).abs()

    def gap(self, completion: Completion, hf: HFModel, temperature: float) -> float:
        return self.gaps(completion, hf, temperature).max().item()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folders = []
    for seed in (1, 2):
        model = TinyModel.build("tiny/x", ["plan a day for two"] * 20, SMALL, device="cpu", seed=seed)
        with torch.no_grad():  # a model that says one thing rather than another, as a trained one does
            for weight in model.module.model.layers.parameters():
                weight.mul_(8 if weight.dim() > 1 else 1)
            model.module.model.norm.weight.mul_(10)
            untie(model)
        folders.append(tmp_path_factory.mktemp("model"))
        model.save(folders[-1])
    with asyncio.Runner() as runner:
        made = Pair(folders, runner)
        yield made
        runner.run(made.vllm.close())


def test_greedy_tokens_and_their_log_probs_are_those_of_transformers(pair: Pair) -> None:
    greedy = [Sampling(temperature=0, max_tokens=40)] * len(PROMPTS)
    calls = [[Message(role="user", content=prompt)] for prompt in PROMPTS]

    async def by_transformers() -> list[Completion]:
        return await asyncio.gather(*(pair.hf[0].generate(call, greedy[0]) for call in calls))

    expected = pair.run(by_transformers())
    found = pair.ask(PROMPTS, greedy)
    for one, other in zip(found, expected, strict=True):
        assert one.trace is not None
        assert other.trace is not None
        assert (one.trace.ids, one.trace.mask) == (other.trace.ids, other.trace.mask)
        assert one.trace.log_probs == pytest.approx(other.trace.log_probs, abs=MOST_GAP)
        assert (one.text, one.finish_reason) == (other.text, other.finish_reason)
        assert one.usage.tokens_out == other.usage.tokens_out


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probs_are_of_the_distribution_that_was_sampled_from(pair: Pair, temperature: float) -> None:
    sampling = [Sampling(temperature=temperature, max_tokens=60, seed=seed) for seed in range(16)]
    gaps = [pair.gap(each, pair.hf[0], temperature) for each in pair.ask(PROMPTS * 4, sampling)]
    print(f"largest gap at temperature {temperature}: {max(gaps):.1e} nats")
    assert max(gaps) < MOST_GAP


def test_different_seeds_differ_and_the_same_seed_repeats(pair: Pair) -> None:
    seeds = [Sampling(max_tokens=20, seed=seed) for seed in (1, 1, 2)]
    one, same, other = pair.ask(["plan"] * 3, seeds)
    assert one.trace == same.trace != other.trace
    first, second = pair.ask(["plan"] * 2, [Sampling(max_tokens=20, seed=1, sample_index=n) for n in (0, 1)])
    assert first.trace == one.trace != second.trace


def test_text_ends_before_a_stop_string(pair: Pair) -> None:
    (free,) = pair.ask(["plan"], [Sampling(max_tokens=30, seed=3)])
    stop = free.text[len(free.text) // 2 :][:3]
    (cut,) = pair.ask(["plan"], [Sampling(max_tokens=30, seed=3, stop=(stop,))])
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.usage.tokens_out < free.usage.tokens_out


def test_scores_are_those_of_transformers(pair: Pair) -> None:
    messages = [Message(role="user", content="plan")]
    expected = pair.run(pair.hf[0].score(messages, "a day for two"))
    assert pair.run(pair.vllm.score(messages, "a day for two")) == pytest.approx(expected, abs=MOST_GAP)


def test_an_answer_is_held_to_its_schema(pair: Pair) -> None:
    schema = {"type": "string", "enum": ["yes", "no"]}
    (found,) = pair.ask(["plan"], [Sampling(max_tokens=30, seed=3, json_schema=schema)])
    assert found.text in ('"yes"', '"no"')


def test_a_prompt_beyond_the_window_is_refused(pair: Pair) -> None:
    assert pair.vllm.context_window == 256
    with pytest.raises(ContextTooLong, match="window of 256 tokens"):
        pair.ask(["museum " * 200], [Sampling(max_tokens=5)])


def test_weights_are_taken_over_between_calls(pair: Pair) -> None:
    sampling = [Sampling(max_tokens=40, seed=seed) for seed in range(4)]
    for new, old in ((1, 0), (0, 1)):
        pair.run(pair.vllm.reload(pair.folders[new]))
        drawn = pair.ask(PROMPTS, sampling)
        assert max(pair.gap(each, pair.hf[new], 1.0) for each in drawn) < MOST_GAP
        assert min(pair.gap(each, pair.hf[old], 1.0) for each in drawn) > 1


def test_a_call_under_way_goes_on_with_the_new_weights(pair: Pair) -> None:
    async def reload_meanwhile() -> Completion:
        sampling = Sampling(max_tokens=240, seed=9)
        call = asyncio.create_task(pair.vllm.generate([Message(role="user", content="plan")], sampling))
        await asyncio.sleep(0.1)
        await pair.vllm.reload(pair.folders[1])
        return await call

    drawn = pair.run(reload_meanwhile())
    by_old, by_new = (pair.gaps(drawn, hf, 1.0) < MOST_GAP for hf in pair.hf)
    changed = int(by_old.int().cumprod(0).sum())
    assert 0 < changed < 240
    assert by_new[changed:].all()
    pair.run(pair.vllm.reload(pair.folders[0]))


def test_a_folder_without_weights_leaves_the_engine_as_it_was(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no safetensors weights"):
        pair.run(pair.vllm.reload(tmp_path))
    (found,) = pair.ask(["plan"], [Sampling(max_tokens=20, seed=1)])
    assert pair.gap(found, pair.hf[0], 1.0) < MOST_GAP


def test_what_cannot_be_started_is_one_line(tmp_path: Path) -> None:
    for config, problem in (
        (ModelConfig(name=f"vllm/{tmp_path}/none"), "there is no folder"),
        (ModelConfig(name="vllm/x", api_base="http://127.0.0.1:1/v1"), "hosted_vllm/"),
        (ModelConfig(name="vllm/x", device="cuda:1"), "CUDA_VISIBLE_DEVICES"),
    ):
        with pytest.raises(ConfigError, match=problem) as caught:
            load_model(config)
        assert "\n" not in str(caught.value)
