"""HFModel on a tiny Qwen3: batching, seeds, log-probabilities, limits."""

import asyncio
import json
import math
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ContextTooLong, ModelError
from palaestra.models.config import ModelConfig
from palaestra.models.decoding import closed_up
from palaestra.models.hf import HFModel
from palaestra.models.log_probs import token_statistics
from palaestra.models.tiny import TinyConfig, TinyModel

CORPUS = ["plan a day for two", "09:00 Grove Museum", "11:30 Birch Park"] * 20
SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=128)
PROMPTS = ["plan a day", "plan", "a museum and then a park, please, in this order", "two"]


@pytest.fixture(scope="module")
def model() -> TinyModel:
    return TinyModel.build("tiny/test", CORPUS, SMALL, device="cpu")


def ask(model: HFModel, prompts: list[str], sampling: list[Sampling]) -> list[Completion]:
    async def together() -> list[Completion]:
        calls = (
            model.generate([Message(role="user", content=prompt)], each)
            for prompt, each in zip(prompts, sampling, strict=True)
        )
        return await asyncio.gather(*calls)

    return asyncio.run(together())


def test_concurrent_calls_give_what_each_call_alone_gives(model: TinyModel) -> None:
    sampling = [Sampling(temperature=1.0, max_tokens=20, seed=seed) for seed in range(4)]
    together = ask(model, PROMPTS, sampling)
    alone = [ask(model, [prompt], [each])[0] for prompt, each in zip(PROMPTS, sampling, strict=True)]
    assert [one.text for one in together] == [one.text for one in alone]


def test_concurrent_calls_share_the_decoding(model: TinyModel) -> None:
    """A batch's time is divided among its rows, so the rows of one batch report the same number."""
    sampling = [Sampling(max_tokens=5, seed=seed) for seed in range(4)]
    assert len({completion.usage.seconds for completion in ask(model, PROMPTS, sampling)}) == 1


def test_different_seeds_differ_and_the_same_seed_repeats(model: TinyModel) -> None:
    one, same, other = ask(model, ["plan"] * 3, [Sampling(max_tokens=20, seed=seed) for seed in (1, 1, 2)])
    assert one.text == same.text != other.text


def test_log_probs_are_those_of_a_full_forward_pass(model: TinyModel) -> None:
    for temperature in (0.7, 1.0):
        sampling = [Sampling(temperature=temperature, max_tokens=20, seed=seed) for seed in range(4)]
        for completion in ask(model, PROMPTS, sampling):
            trace = completion.trace
            assert trace is not None
            ids, mask = torch.tensor([trace.ids]), torch.tensor([trace.mask])
            with torch.no_grad():
                logits = model.module(input_ids=ids).logits[:, :-1] / temperature
            expected = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)[mask[:, 1:]]
            sampled = torch.tensor(trace.log_probs)[mask[0]]
            torch.testing.assert_close(sampled, expected, atol=1e-4, rtol=0)
            assert sum(trace.mask) == completion.usage.tokens_out


def test_draws_follow_the_distribution(model: TinyModel) -> None:
    """4000 first tokens against their probabilities: a chi-square bound over the frequent ones."""
    draws = 4000
    completions = ask(model, ["plan"] * draws, [Sampling(max_tokens=1, seed=seed) for seed in range(draws)])
    prompt = model.encode([Message(role="user", content="plan")])
    with torch.no_grad():
        probabilities = model.module(input_ids=torch.tensor([prompt])).logits[0, -1].softmax(-1)
    counts = torch.zeros_like(probabilities)
    for completion in completions:
        assert completion.trace is not None
        counts[completion.trace.ids[-1]] += 1
    expected = probabilities * draws
    frequent = expected >= 5
    degrees = int(frequent.sum())
    chi_square = ((counts - expected)[frequent] ** 2 / expected[frequent]).sum().item()
    assert degrees > 50
    assert chi_square < degrees + 5 * math.sqrt(2 * degrees)


def test_greedy_takes_the_most_likely_token(model: TinyModel) -> None:
    (completion,) = ask(model, ["plan"], [Sampling(temperature=0, max_tokens=1)])
    prompt = model.encode([Message(role="user", content="plan")])
    with torch.no_grad():
        best = int(model.module(input_ids=torch.tensor([prompt])).logits[0, -1].argmax())
    assert completion.trace is not None
    assert completion.trace.ids[-1] == best


def test_greedy_and_sampled_rows_share_a_batch(model: TinyModel) -> None:
    sampling = [Sampling(temperature=each, max_tokens=10, seed=1) for each in (0, 0.5, 1.0)]
    together = ask(model, ["plan"] * 3, sampling)
    assert len({completion.usage.seconds for completion in together}) == 1
    assert [each.text for each in together] == [ask(model, ["plan"], [one])[0].text for one in sampling]


def test_greedy_rows_are_those_of_transformers(model: TinyModel) -> None:
    together = ask(model, PROMPTS, [Sampling(temperature=0, max_tokens=12)] * 4)
    for prompt, completion in zip(PROMPTS, together, strict=True):
        ids = torch.tensor([model.encode([Message(role="user", content=prompt)])])
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=12, eos_token_id=model.tokenizer.eos_token_id, pad_token_id=0
        )
        expected = model.module.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        assert completion.trace is not None
        assert list(completion.trace.ids) == expected[0].tolist()


def test_a_prompt_is_read_once_and_a_row_that_has_ended_no_more(model: TinyModel) -> None:
    read: list[tuple[int, int]] = []
    hook = model.module.base_model.register_forward_hook(
        lambda module, args, kwargs, output: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    prompts = ["plan"] * 30 + ["two"] * 30
    made = ask(model, prompts, [Sampling(max_tokens=30, seed=seed) for seed in range(60)])
    hook.remove()
    lengths = [completion.usage.tokens_out for completion in made]
    assert min(lengths) < 25
    assert read[0][0] == 2
    assert [rows for rows, _ in read[1:]] == [
        sum(length > count for length in lengths) for count in range(1, max(lengths))
    ]


def test_the_checkpoints_own_defaults_of_generation_do_not_count(model: TinyModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    settings = tmp_path / "generation_config.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"repetition_penalty": 5.0, "top_k": 2})
    )
    loaded = HFModel.from_config(ModelConfig(name=f"hf/{tmp_path}", device="cpu"))
    sampling = [Sampling(max_tokens=20, seed=seed) for seed in range(4)]
    assert [each.trace for each in ask(loaded, PROMPTS, sampling)] == [
        each.trace for each in ask(model, PROMPTS, sampling)
    ]


def test_score_agrees_with_token_statistics(model: TinyModel) -> None:
    messages = [Message(role="user", content="plan a day")]
    scores = asyncio.run(model.score(messages, "09:00 Grove Museum"))
    answer = model.tokenizer.encode("09:00 Grove Museum", add_special_tokens=False)
    ids = torch.tensor([model.encode(messages) + answer])
    select = torch.arange(ids.shape[1])[None] >= ids.shape[1] - len(answer)
    with torch.no_grad():
        expected = token_statistics(model.module, ids, torch.ones_like(ids), select).log_prob_M
    assert scores == pytest.approx(expected.tolist())
    assert asyncio.run(model.score(messages, "")) == ()


def test_entropy_is_that_of_the_whole_distribution(model: TinyModel) -> None:
    ids = torch.tensor([model.tokenizer.encode("09:00 Grove Museum")])
    select = torch.ones_like(ids, dtype=torch.bool)
    select[:, 0] = False
    with torch.no_grad():
        statistics = token_statistics(model.module, ids, torch.ones_like(ids), select, temperature=2.0)
        logits = model.module(input_ids=ids).logits[0, :-1] / 2.0
    expected = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(statistics.entropy_M, expected)


def test_chunks_change_neither_values_nor_gradients(model: TinyModel) -> None:
    ids = torch.tensor([model.tokenizer.encode("09:00 Grove Museum, 11:30 Birch Park and a plan for two")])
    select = torch.arange(ids.shape[1])[None] > 2
    gradients = []
    for logits in (1 << 24, 2 * len(model.tokenizer)):
        model.module.zero_grad()
        found = token_statistics(
            model.module, ids, torch.ones_like(ids), select, temperature=0.7, logits=logits
        )
        (found.log_prob_M.sum() + found.entropy_M.sum()).backward()
        gradients.append([parameter.grad.clone() for parameter in model.module.parameters()])
    assert len(found.log_prob_M) == int(select.sum()) > 4
    for whole, chunked in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, chunked)


def test_text_ends_before_a_stop_string(model: TinyModel) -> None:
    (free,) = ask(model, ["plan"], [Sampling(max_tokens=30, seed=3)])
    stop = free.text[len(free.text) // 2 :][:3]
    (cut,) = ask(model, ["plan"], [Sampling(max_tokens=30, seed=3, stop=(stop,))])
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.usage.tokens_out < free.usage.tokens_out


def test_a_prompt_beyond_the_window_is_refused_with_both_sizes(model: TinyModel) -> None:
    with pytest.raises(ContextTooLong, match="window of 128 tokens"):
        ask(model, ["museum " * 200], [Sampling(max_tokens=5)])


def test_saved_and_loaded_it_answers_the_same(model: TinyModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = HFModel.from_config(ModelConfig(name=f"hf/{tmp_path}", device="cpu"))
    sampling = [Sampling(max_tokens=20, seed=5)]
    assert ask(loaded, ["plan"], sampling)[0].trace == ask(model, ["plan"], sampling)[0].trace


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a folder or a hub id after hf/") as caught:
        HFModel.from_config(ModelConfig(name=f"hf/{tmp_path}"))
    assert "\n" not in str(caught.value)


def test_the_default_architecture_is_a_small_qwen3() -> None:
    model = TinyModel.build("tiny/test", CORPUS, TinyConfig(), device="cpu")
    assert model.module.config.model_type == "qwen3"
    assert 1_000_000 < sum(parameter.numel() for parameter in model.module.parameters()) < 4_000_000


def test_rows_that_go_on_stay_where_they_are_but_for_those_that_fill_gaps() -> None:
    assert closed_up([0, 1, 2]) == [0, 1, 2]
    assert closed_up([1, 2, 5]) == [5, 1, 2]
    assert closed_up([3, 4]) == [3, 4]


def test_weights_that_have_diverged_are_one_clear_line() -> None:
    model = TinyModel.build("tiny/diverged", CORPUS, SMALL, device="cpu")
    with torch.no_grad():
        model.module.get_input_embeddings().weight.fill_(math.nan)
    with pytest.raises(ModelError, match="not finite"):
        ask(model, ["plan"], [Sampling(max_tokens=2, seed=0)])
