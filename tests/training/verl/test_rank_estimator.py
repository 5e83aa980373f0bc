"""ArenaRL's advantages and loss beside verl's own functions."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl.protocol import DataProto
from verl.trainer.ppo.core_algos import get_policy_loss_fn
from verl.trainer.ppo.ray_trainer import compute_advantage
from verl.workers.config import ActorConfig

from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.objectives.aggregation import Totals, aggregate
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import TokenBatch
from palaestra.training.verl.rank_estimator import rank_estimator as rank_estimator

pytestmark = pytest.mark.verl

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0]])
UIDS = np.array(["a", "b", "a", "b", "a", "b"], dtype=object)


def advantages(rewards: list[float]) -> torch.Tensor:
    """By verl, with the estimator by its name."""
    scores = torch.zeros(MASK.shape)
    scores[torch.arange(6), MASK.sum(dim=-1) - 1] = torch.tensor(rewards, dtype=torch.float32)
    tensors = TensorDict({"token_level_rewards": scores, "response_mask": MASK}, batch_size=6)
    data = DataProto(batch=tensors, non_tensor_batch={"uid": UIDS})
    found: torch.Tensor = compute_advantage(
        data, adv_estimator="arena-rank", config=OmegaConf.create({"norm_adv_by_std_in_grpo": True})
    ).batch["advantages"]
    return found


def test_advantages_are_those_of_the_ranks_in_each_group() -> None:
    found = advantages([0.1, 5.0, 0.9, -3.0, 0.4, 5.0])
    expected = torch.zeros(6)
    expected[[0, 2, 4]] = rank_advantages([2, 0, 1])
    expected[[1, 3, 5]] = rank_advantages([0, 2, 0])
    torch.testing.assert_close(found, expected[:, None] * MASK)


def test_only_the_order_counts() -> None:
    assert torch.equal(advantages([1, 2, 3, 4, 5, 6]), advantages([1, 20, 300, 4000, 5000, 6000]))
    assert (advantages([1.0] * 6) == 0).all()


@pytest.mark.parametrize("dual_clip", [None, 1.2])
def test_verls_clipped_loss_is_that_of_arena_rl(dual_clip: float | None) -> None:
    draw = torch.Generator().manual_seed(3)
    old = -1.5 + 0.3 * torch.randn(MASK.shape, generator=draw)
    log_prob = (old + 0.3 * torch.randn(MASK.shape, generator=draw)).requires_grad_()
    advantage = advantages([0.1, 5.0, 0.9, -3.0, 0.4, 5.0])
    settings = ActorConfig(
        strategy="fsdp",
        rollout_n=3,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio=0.2,
        clip_ratio_low=0.2,
        clip_ratio_high=0.28,
        clip_ratio_c=dual_clip or 1e6,
    )
    theirs, _ = get_policy_loss_fn("vanilla")(
        old_log_prob=old,
        log_prob=log_prob,
        advantages=advantage,
        response_mask=MASK,
        loss_agg_mode="token-mean",
        config=settings,
    )
    mask = MASK.bool()
    batch = TokenBatch(
        log_prob_NT=log_prob.where(mask, 0),
        entropy_NT=torch.zeros(MASK.shape),
        advantage_NT=advantage,
        mask_NT=mask,
        old_log_prob_NT=old.where(mask, 0),
    )
    losses, metrics = ArenaRL(ArenaRLConfig(dual_clip=dual_clip))(batch)
    assert dual_clip is None or metrics["dual_clip_fraction"].any()
    ours = aggregate(losses, mask, "token-mean", Totals.of(mask))
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(loss, log_prob, retain_graph=True)[0] for loss in (ours, theirs)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)
