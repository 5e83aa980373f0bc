"""Rollouts from vLLM: an engine that is started here, and a server, both with the weights of each update."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from palaestra.core.chat import Completion, Message, Sampling, TokenTrace
from palaestra.core.config import validate
from palaestra.core.errors import ConfigError, ModelError
from palaestra.core.events import TrajectoryFinished, UpdateDone
from palaestra.datasets.families import family
from palaestra.models.config import ModelConfig
from palaestra.models.hf import HFModel
from palaestra.models.log_probs import token_statistics
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.store.run_store import RunStore
from palaestra.training.config import TrainConfig
from palaestra.training.pipeline import train
from palaestra.training.sampler import SamplerConfig, open_sampler

SMALL = TinyConfig(vocabulary=640, hidden=128, layers=2, heads=2, feed_forward=128, window=256)
TEMPERATURE = 0.8
MOST_GAP = 1e-3
"""Nats between the log-probabilities of vLLM and the trainer for one token, in float32."""


@pytest.fixture
def policy() -> TinyModel:
    """With an output layer of its own: vLLM cannot renew tied embeddings on a CPU."""
    corpus = [text for task, answer in family("trip").examples(200) for text in (task.prompt, answer)]
    model = TinyModel.build("tiny/trip", corpus, SMALL, device="cpu", seed=1)
    model.module.config.tie_word_embeddings = False
    embeddings = model.module.get_input_embeddings().weight.detach().clone()
    model.module.lm_head.weight = torch.nn.Parameter(embeddings)
    return model


def gap(trace: TokenTrace, model: HFModel) -> float:
    """The mean difference between the sampler's log-probabilities and the model's."""
    ids, mask = torch.tensor([trace.ids]), torch.tensor([trace.mask])
    with torch.no_grad():
        own = token_statistics(model.module, ids, torch.ones_like(ids), mask, TEMPERATURE).log_prob_M
    return (torch.tensor(trace.log_probs)[mask[0]] - own).abs().mean().item()


def train_somewhat(model: HFModel) -> None:
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=draw))


@pytest.fixture
def server(policy: TinyModel, tmp_path: Path) -> Iterator[SamplerConfig]:
    """A server of its own with the policy as it is at first."""
    policy.save(tmp_path / "served")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(tmp_path / "served"),
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "policy"]
    command += ["--dtype", "float32", "--max-model-len", "256", "--logprobs-mode", "processed_logprobs"]
    process = subprocess.Popen(command, env=os.environ | {"VLLM_SERVER_DEV_MODE": "1"})
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield SamplerConfig(name="hosted_vllm/policy", api_base=f"http://127.0.0.1:{port}/v1")
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(address).close()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.25)
    raise AssertionError("the server did not start")


async def follows(config: SamplerConfig, policy: TinyModel, folder: Path) -> tuple[float, float, float]:
    """The gaps before the policy moves, after that, and after the engine was told."""
    async with open_sampler(config, policy, folder) as sampler:

        async def drawn() -> float:
            calls = [
                sampler.model.generate(
                    [Message(role="user", content="Plan a day")],
                    Sampling(temperature=TEMPERATURE, max_tokens=30, seed=seed),
                )
                for seed in range(8)
            ]
            made: list[Completion] = await asyncio.gather(*calls)
            assert len({each.text for each in made}) > 1
            return max(gap(each.trace, policy) for each in made if each.trace)

        before = await drawn()
        train_somewhat(policy)
        unaware = await drawn()
        await sampler.follow()
        return before, unaware, await drawn()


@pytest.mark.vllm
@pytest.mark.parametrize("place", ["engine", "server"])
def test_it_has_the_policys_weights_when_it_is_told_of_them(
    place: str, policy: TinyModel, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    config = SamplerConfig(name="vllm/policy") if place == "engine" else request.getfixturevalue("server")
    before, unaware, after = asyncio.run(follows(config, policy, tmp_path / "sampler"))
    print(f"mean gap in nats: {before:.1e}, with old weights {unaware:.1e}, renewed {after:.1e}")
    assert before < MOST_GAP
    assert unaware > 100 * MOST_GAP
    assert after < MOST_GAP


@pytest.mark.vllm
def test_a_run_draws_each_step_from_the_weights_of_the_step_before(policy: TinyModel, tmp_path: Path) -> None:
    policy.save(tmp_path / "policy")
    settings = {
        "policy": {"name": f"hf/{tmp_path / 'policy'}", "device": "cpu"},
        "warm_start": {
            "steps": 60,
            "examples": 600,
            "batch_size": 32,
            "optimizer": {"learning_rate": 5e-3},
        },
        "rollout": {
            "tasks_per_step": 4,
            "group_size": 4,
            "temperature": TEMPERATURE,
            "max_tokens": 40,
            "show_context": False,
        },
        "sampler": "vllm/policy",
        "optimizer": {"learning_rate": 5e-3},
        "steps": 2,
        "evaluation": {"tasks": 10},
    }
    config = validate(TrainConfig, settings, source="test")
    store = RunStore.create(tmp_path / "runs", "train", config)
    assert asyncio.run(train(config, store, store.write)).status == "done"
    updates = [update for update in store.events(UpdateDone) if update.phase == "train"]
    drawn = [event.trajectory for event in store.events(TrajectoryFinished)]
    store.close()
    assert [update.step for update in updates] == [1, 2]
    for update in updates:
        print({name: update.metrics[name] for name in update.metrics if name.startswith("sampler")})
        assert update.metrics["sampler_gap_max"] < MOST_GAP
    start = HFModel.from_config(ModelConfig(name=f"hf/{store.folder / 'start'}", device="cpu"))
    sampled = [each for each in drawn if each.trace and not each.id.endswith("/0")]
    first, second = (
        max(gap(each.trace, start) for each in sampled if each.id.startswith(f"step-{step}/") and each.trace)
        for step in (1, 2)
    )
    assert first < MOST_GAP
    assert second > 10 * MOST_GAP, "the second step was drawn from the first one's weights"


def test_a_server_that_does_not_take_weights_is_one_line(policy: TinyModel, tmp_path: Path) -> None:
    async def opened() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        config = SamplerConfig(name="hosted_vllm/policy", api_base=f"http://127.0.0.1:{port}/v1", retries=0)
        async with open_sampler(config, policy, tmp_path / "sampler"):
            raise AssertionError("there is no server")

    with pytest.raises(ModelError, match="VLLM_SERVER_DEV_MODE") as caught:
        asyncio.run(opened())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sampler", ["vllm/other", "hosted_vllm/policy", "openai/gpt-5"])
def test_what_cannot_take_the_policys_weights_is_refused(sampler: str) -> None:
    with pytest.raises(ConfigError, match="cannot draw for the policy"):
        validate(TrainConfig, {"policy": "tiny/x", "sampler": sampler}, source="test")
