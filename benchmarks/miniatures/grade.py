"""GRADE-STE beside REINFORCE: how much an estimate of the gradient varies, and where it points."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from benchmarks.miniatures.markov import LENGTH, PROMPT, PROMPTS, ROLLOUTS, TOKENS, Setting, markov_setting
from benchmarks.miniatures.miniature import Comparison, Miniature
from benchmarks.miniatures.tiny_policy import adam
from palaestra.core.chat import TokenTrace
from palaestra.core.record import derive_seed
from palaestra.models.log_probs import token_statistics
from palaestra.training.advantages.registry import AdvantageName, advantages
from palaestra.training.objectives.grade_ste import GRADESTE, GRADESTEConfig
from palaestra.training.objectives.reinforce import Reinforce, ReinforceConfig
from palaestra.training.relaxed_rollouts import RelaxedRollouts, relaxed_rollouts
from palaestra.training.relaxed_updater import RelaxedUpdater
from palaestra.training.samples import Sample
from palaestra.training.updater import Updater

ESTIMATES, STEPS, LEARNING_RATE = 200, 60, 1e-3
POLICY_GRADIENTS: Mapping[str, AdvantageName] = {"reinforce": "reward", "rloo": "leave-one-out"}
OBJECTIVE = GRADESTE(GRADESTEConfig(candidates=TOKENS, kl=0))


def measure(seed: int) -> Mapping[str, float]:
    setting = markov_setting(seed)
    exact = setting.gradient(setting.expected_reward())
    estimators: Mapping[str, Callable[[int], Tensor]] = {
        "grade-ste": lambda draw: setting.gradient(setting.of_rollouts(_rollouts(setting, draw)).mean()),
        **{name: partial(_policy_gradient, setting, rule) for name, rule in POLICY_GRADIENTS.items()},
    }
    figures: dict[str, float] = {}
    for name, estimate in estimators.items():
        draws = torch.stack([estimate(derive_seed(seed, "estimate", draw)) for draw in range(ESTIMATES)])
        mean, variance = draws.mean(dim=0), float(draws.var(dim=0).sum())
        figures[f"{name} variance"] = math.log10(variance / float(mean.square().sum()))
        figures[f"{name} cosine"] = float(cosine_similarity(draws, exact[None]).mean())
        figures[f"{name} bias"] = float(cosine_similarity(mean, exact, dim=0))
    return figures | _rewards_after_training(setting, seed)


def _rollouts(setting: Setting, draw: int) -> RelaxedRollouts:
    seeds = [derive_seed(draw, row) for row in range(len(setting.prompts))]
    return relaxed_rollouts(setting.policy, setting.prompts, seeds, OBJECTIVE, step=0, max_tokens=LENGTH)


def _policy_gradient(setting: Setting, rule: AdvantageName, draw: int) -> Tensor:
    """Of hard tokens, the same that GRADE-STE draws."""
    samples = _sampled(setting, draw)
    ids_NT = torch.tensor([sample.trace.ids for sample in samples])
    generated_NT = torch.tensor([sample.trace.mask for sample in samples])
    log_prob_M, _ = token_statistics(setting.policy, ids_NT, torch.ones_like(ids_NT), generated_NT)
    reward_N = torch.tensor([sample.reward for sample in samples])
    group_N = torch.tensor([sample.group for sample in samples])
    advantage_N = advantages(rule, reward_N, group_N, torch.zeros_like(group_N))
    return setting.gradient((advantage_N * log_prob_M.view(len(samples), LENGTH).sum(dim=-1)).mean())


@torch.no_grad()
def _sampled(setting: Setting, draw: int) -> list[Sample]:
    """Hard rollouts with their rewards."""
    rollouts = _rollouts(setting, draw)
    mask = (False,) * PROMPT + (True,) * LENGTH
    columns = (rollouts.tokens.ids, rollouts.log_prob_NT, setting.of_rollouts(rollouts))
    return [
        Sample(
            TokenTrace(ids=(*prompt, *ids), log_probs=(*(0.0,) * PROMPT, *log_probs), mask=mask),
            reward,
            group=row // ROLLOUTS,
        )
        for row, (prompt, ids, log_probs, reward) in enumerate(
            zip(setting.prompts, *(column.tolist() for column in columns), strict=True)
        )
    ]


def _rewards_after_training(setting: Setting, seed: int) -> dict[str, float]:
    """The exact expected reward after as many steps on as many rollouts."""
    settings, noise = adam(LEARNING_RATE), derive_seed(seed, "run")
    trained = {
        name: replace(setting, policy=copy.deepcopy(setting.policy))
        for name in ("grade-ste", *POLICY_GRADIENTS)
    }
    relaxed = RelaxedUpdater(
        trained["grade-ste"].policy, OBJECTIVE, settings, STEPS, setting.of_rollouts, LENGTH, seed=noise
    )
    for _ in range(STEPS):
        relaxed.update(setting.prompts)
    for name, rule in POLICY_GRADIENTS.items():
        updater = Updater(trained[name].policy, Reinforce(ReinforceConfig(advantage=rule)), settings, STEPS)
        for step in range(STEPS):
            updater.update(_sampled(trained[name], derive_seed(noise, step)))
    with torch.no_grad():
        return {f"{name} reward": float(each.expected_reward()) for name, each in trained.items()}


MINIATURE = Miniature(
    name="grade",
    claim="The gradient of GRADE-STE varies less than that of REINFORCE, and its policy earns more.",
    source="GRADE, arXiv 2601.11574",
    setting=(
        f"Qwen3 of 2 layers x 32 over {TOKENS} tokens that has imitated a random Markov chain; {LENGTH} "
        "tokens of it are rewarded by a frozen random network (mean of embeddings, two layers, sigmoid). "
        f"Every estimate is of {PROMPTS} prompts x {ROLLOUTS} rollouts with the same noise, {ESTIMATES} of "
        "each kind at the paper's first temperature, 2. Variances are sums over weights, over the squared "
        f"norm of the mean; exact gradient and expected reward are sums over all {TOKENS}⁴ sequences. "
        f"Training: {STEPS} steps of Adam at {LEARNING_RATE}, no KL."
    ),
    comparisons=(
        Comparison(
            "log10 of the gradient's variance; beside REINFORCE",
            "grade-ste variance",
            "reinforce variance",
            "below",
        ),
        Comparison(
            "log10 of the gradient's variance; beside RLOO", "grade-ste variance", "rloo variance", "below"
        ),
        Comparison("cosine of one estimate with the exact gradient", "grade-ste cosine", "rloo cosine"),
        Comparison(
            "cosine of the mean of 200 estimates with the exact gradient",
            "grade-ste bias",
            "rloo bias",
            "below",
        ),
        Comparison(
            "expected reward after training; beside REINFORCE", "grade-ste reward", "reinforce reward"
        ),
        Comparison("expected reward after training; beside RLOO", "grade-ste reward", "rloo reward"),
    ),
    measure=measure,
    remark=(
        "What straight-through pays for its small variance is a bias, which the cosine of the mean estimate "
        "shows. Variances are compared as logarithms, because those of REINFORCE differ between seeds by a "
        "factor of thirty: as they are, one seed makes the interval cross zero, although all say the same. "
        "The paper's figures are standard deviations as they are (0.003 and 0.050), which also depend on "
        "the length of the gradient. A leave-one-out baseline, which the paper does not have, leaves "
        "little of the advantage after training."
    ),
)
