"""Contrastive decoding: draws from the contrast, limits that are known, beams against every continuation."""

import asyncio
from pathlib import Path

import pytest
import torch
from torch import Tensor

from palaestra.core.chat import Completion, Message, Sampling
from palaestra.core.errors import ConfigError, ModelError
from palaestra.models.config import ContrastConfig, ModelConfig
from palaestra.models.contrast import contrast
from palaestra.models.contrastive import ContrastiveModel, beam_search
from palaestra.models.hf import HFModel
from palaestra.models.registry import load_model
from palaestra.models.tiny import TinyConfig, TinyModel

SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=128)
PROMPTS = ["plan a day", "plan", "a museum and then a park, please, in this order", "two"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An expert and an amateur; their weights are enlarged so that they are sure of what they say."""
    made = []
    for seed in (1, 2):
        model = TinyModel.build("tiny/x", ["plan a day for two"] * 20, SMALL, device="cpu", seed=seed)
        with torch.no_grad():
            model.module.get_input_embeddings().weight.mul_(8)
        made.append(tmp_path_factory.mktemp("model"))
        model.save(made[-1])
    return made[0], made[1]


def load(expert: Path, amateur: Path, **settings: float) -> ContrastiveModel:
    contrast = {"amateur": f"hf/{amateur}", **settings}
    model = load_model(
        ModelConfig.model_validate({"name": f"hf/{expert}", "contrast": contrast, "device": "cpu"})
    )
    assert isinstance(model, ContrastiveModel)
    return model


def ask(model: HFModel, prompts: list[str], sampling: list[Sampling]) -> list[Completion]:
    async def together() -> list[Completion]:
        calls = (
            model.generate([Message(role="user", content=prompt)], each)
            for prompt, each in zip(prompts, sampling, strict=True)
        )
        return await asyncio.gather(*calls)

    return asyncio.run(together())


def generated(completions: list[Completion]) -> list[list[int]]:
    traces = [each.trace for each in completions if each.trace]
    return [[token for token, made in zip(each.ids, each.mask, strict=True) if made] for each in traces]


def scores(model: ContrastiveModel, ids: list[int], plausible: float, temperature: float = 1.0) -> Tensor:
    """The contrast after these tokens, the amateur at its temperature."""
    with torch.no_grad():
        expert_V, amateur_V = (
            module(input_ids=torch.tensor([ids])).logits[0, -1] for module in (model.module, model._amateur)
        )
    return contrast(expert_V.log_softmax(-1), (amateur_V / temperature).log_softmax(-1), plausible)


def test_full_plausibility_is_the_expert_alone_decoded_greedily(folders: tuple[Path, Path]) -> None:
    expert = HFModel.from_config(ModelConfig(name=f"hf/{folders[0]}", device="cpu"))
    greedy = [Sampling(temperature=0, max_tokens=12)] * len(PROMPTS)
    found = ask(load(*folders, plausibility=1.0), PROMPTS, greedy)
    assert generated(found) == generated(ask(expert, PROMPTS, greedy))


def test_sampled_tokens_are_from_the_contrast_and_carry_its_log_probs(folders: tuple[Path, Path]) -> None:
    """Prompts of different lengths share the batch, so the amateur has to see through the padding."""
    model = load(*folders, plausibility=0.01, amateur_temperature=0.5)
    sampling = [Sampling(temperature=0.7, max_tokens=12, seed=seed) for seed in range(4)]
    for completion in ask(model, PROMPTS, sampling):
        trace = completion.trace
        assert trace is not None
        for place in (place for place, generated in enumerate(trace.mask) if generated):
            score = scores(model, list(trace.ids[:place]), 0.01, 0.5)
            expected = (score / 0.7).log_softmax(-1)[trace.ids[place]].item()
            assert trace.log_probs[place] == pytest.approx(expected, abs=1e-3)


def test_it_says_something_else_than_the_expert(folders: tuple[Path, Path]) -> None:
    expert = HFModel.from_config(ModelConfig(name=f"hf/{folders[0]}", device="cpu"))
    greedy = [Sampling(temperature=0, max_tokens=12)] * len(PROMPTS)
    found = ask(load(*folders, plausibility=0.001), PROMPTS, greedy)
    assert generated(found) != generated(ask(expert, PROMPTS, greedy))


def test_enough_beams_find_the_best_of_all_continuations(folders: tuple[Path, Path]) -> None:
    model = load(*folders, plausibility=1e-9)
    prompt = model.encode([Message(role="user", content="plan")])
    ends = {model.tokenizer.eos_token_id}

    def score_after(ids: list[int]) -> Tensor:
        return scores(model, prompt + ids, 1e-9)

    first = score_after([])
    totals = {
        (token, following): (first[token] + score).item()
        for token in first.isfinite().nonzero().flatten().tolist()
        if token not in ends
        for following, score in enumerate(score_after([token]))
        if score.isfinite()
    }
    config = ContrastConfig(amateur="hf/x", plausibility=1e-9, beams=len(first))
    found = beam_search(model.module, model._amateur, model.tokenizer, prompt, config, max_tokens=2)
    ended = {pair: total for pair, total in totals.items() if pair[1] in ends}
    assert tuple(found.ids) == max(ended or totals, key=(ended or totals).__getitem__)
    assert found.stopped == bool(ended)


def test_one_beam_is_greedy_and_beams_score_no_less(folders: tuple[Path, Path]) -> None:
    model = load(*folders, plausibility=0.01, beams=4)

    def total(ids: list[int]) -> float:
        places = range(len(prompt), len(prompt) + len(ids))
        whole = prompt + ids
        return sum(scores(model, whole[:at], 0.01)[whole[at]].item() for at in places)

    for text in PROMPTS:
        prompt = model.encode([Message(role="user", content=text)])
        greedy, beams = (
            beam_search(
                model.module,
                model._amateur,
                model.tokenizer,
                prompt,
                ContrastConfig(amateur="hf/x", plausibility=0.01, beams=count),
                max_tokens=8,
            )
            for count in (1, 4)
        )
        (one,) = ask(load(*folders, plausibility=0.01), [text], [Sampling(temperature=0, max_tokens=8)])
        (four,) = ask(model, [text], [Sampling(temperature=0, max_tokens=8)])
        assert generated([one, four]) == [greedy.ids, beams.ids]
        if beams.stopped == greedy.stopped:
            assert total(beams.ids) >= total(greedy.ids) - 1e-4


def test_an_amateur_of_another_vocabulary_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    TinyModel.build("tiny/x", ["something else"] * 20, SMALL, device="cpu").save(tmp_path)
    with pytest.raises(ConfigError, match="have different vocabularies"):
        load(folders[0], tmp_path)


@pytest.mark.parametrize("padded", ["expert", "amateur"])
def test_models_that_are_padded_to_different_sizes_are_of_one_family(
    folders: tuple[Path, Path], tmp_path: Path, padded: str
) -> None:
    """Padding is never drawn, though the expert would."""
    expert, amateur = folders
    longer = HFModel.from_config(
        ModelConfig(name=f"hf/{expert if padded == 'expert' else amateur}", device="cpu")
    )
    known = longer.module.config.vocab_size
    longer.module.resize_token_embeddings(known + 200, mean_resizing=False)
    with torch.no_grad():
        weight = longer.module.get_input_embeddings().weight
        weight[known:] = weight[: known - 100].repeat(2, 1)[:200]
    longer.save(tmp_path)
    model = load(tmp_path, amateur) if padded == "expert" else load(expert, tmp_path)
    sampling = [Sampling(temperature=1.0, max_tokens=12, seed=seed) for seed in range(4)]
    drawn = generated(ask(model, PROMPTS, sampling))
    assert all(token < known for ids in drawn for token in ids)
    if padded == "expert":
        plain = HFModel.from_config(ModelConfig(name=f"hf/{tmp_path}", device="cpu"))
        assert any(token >= known for ids in generated(ask(plain, PROMPTS, sampling)) for token in ids)


def test_beams_over_weights_that_have_diverged_are_one_clear_line(folders: tuple[Path, Path]) -> None:
    model = load(*folders, beams=2)
    with torch.no_grad():
        model.module.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        ask(model, PROMPTS[:1], [Sampling(temperature=0.0, max_tokens=4)])


def test_only_local_models_can_be_contrasted() -> None:
    config = ModelConfig(name="openai/gpt-5", contrast=ContrastConfig(amateur="openai/gpt-5-mini"))
    with pytest.raises(ConfigError, match="give two models as hf/<folder or hub id>"):
        load_model(config)
