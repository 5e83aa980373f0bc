"""Steps of the optimizers of torch under the schedules of transformers, on all weights or on some of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import get_scheduler

from palaestra.core.errors import TrainingError
from palaestra.core.record import Record
from palaestra.models.log_probs import LOGITS

OptimizerName = Literal["adamw", "adam", "sgd", "rmsprop", "adafactor"]
ScheduleName = Literal["constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "inverse_sqrt"]
"""As transformers names them; all but inverse_sqrt's own decay begin with a linear warm-up."""


class OptimizerConfig(Record):
    name: OptimizerName = "adamw"
    """Of torch."""
    learning_rate: float = Field(default=1e-6, gt=0)
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay of the moments. sgd and rmsprop take the first as their momentum, adafactor has none."""
    weight_decay: float = Field(default=0.1, ge=0)
    schedule: ScheduleName = "constant"
    warmup_steps: int = Field(default=0, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    master_weights: bool = True
    """Keep float32 copies of 16-bit weights and step on them. Without, steps of a usual learning rate are
    mostly below the resolution of the weights and lost."""
    tokens_per_pass: int = Field(default=16_384, ge=1)
    """Padded tokens in one forward and backward pass; a matter of memory alone, the gradient is the same."""
    logits_at_once: int = Field(default=LOGITS, ge=1)
    """Numbers; where a pass has more, they are computed in parts and once more in the backward pass."""
    gradient_checkpointing: bool = False
    """Keep the activations of no layer's inside, and compute them again in the backward pass."""


_OPTIMIZERS: Mapping[OptimizerName, Callable[[list[Tensor], OptimizerConfig], torch.optim.Optimizer]] = {
    "adamw": lambda weights, config: torch.optim.AdamW(
        weights, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    ),
    "adam": lambda weights, config: torch.optim.Adam(
        weights, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    ),
    "sgd": lambda weights, config: torch.optim.SGD(
        weights, lr=config.learning_rate, momentum=config.betas[0], weight_decay=config.weight_decay
    ),
    "rmsprop": lambda weights, config: torch.optim.RMSprop(
        weights, lr=config.learning_rate, momentum=config.betas[0], weight_decay=config.weight_decay
    ),
    "adafactor": lambda weights, config: torch.optim.Adafactor(
        weights, lr=config.learning_rate, weight_decay=config.weight_decay
    ),
}


class Optimizer:
    """Owns the step: clipping, optimizer, schedule, float32 masters, and which weights may move.

    `masks` are True where a weight of that name may move; weights without one move freely. They apply to the
    update itself, so that neither momentum nor decay moves what is masked.
    """

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        config: OptimizerConfig,
        steps: int,
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        if not parameters:
            raise TrainingError("no weight of the policy can be trained; unfreeze some or add an adapter")
        self._weights = list(parameters.values())
        self._masks = [(masks or {}).get(name) for name in parameters]
        self._masters = [_master(weight) if config.master_weights else weight for weight in self._weights]
        self._max_norm = config.max_gradient_norm
        self._optimizer = _OPTIMIZERS[config.name](list(self._masters), config)
        schedule = "constant_with_warmup" if config.schedule == "constant" else config.schedule
        self._scheduler = get_scheduler(schedule, self._optimizer, config.warmup_steps, steps)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        rate: float = self._scheduler.get_last_lr()[0]
        return rate

    def step(self) -> float:
        """Step along the gradients that have been added up, forget them, and give their norm before clipping.

        Raises:
            TrainingError: a gradient is not finite. The weights are as they were.
        """
        for master, weight in zip(self._masters, self._weights, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.to(master.dtype)
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters, self._max_norm))
        if not math.isfinite(norm):
            raise TrainingError(f"the gradient is {norm}; lower the learning rate or look at the rollouts")
        self._step_where_allowed()
        for master, weight in self._pairs():
            master.grad = weight.grad = None  # rollouts need the memory
        self._scheduler.step()
        return norm

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "masters": [master for master, weight in self._pairs() if master is not weight],
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """
        Raises:
            ValueError: the state is of other weights.
        """
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        own = [master for master, weight in self._pairs() if master is not weight]
        for master, stored in zip(own, state["masters"], strict=True):
            master.copy_(stored)

    @torch.no_grad()
    def _step_where_allowed(self) -> None:
        masked = [
            (master, mask, master.clone())
            for master, mask in zip(self._masters, self._masks, strict=True)
            if mask is not None
        ]
        self._optimizer.step()
        for master, mask, before in masked:
            master.copy_(torch.where(mask, master, before))
        for master, weight in self._pairs():
            if master is not weight:
                weight.copy_(master)

    def _pairs(self) -> Sequence[tuple[Tensor, nn.Parameter]]:
        return list(zip(self._masters, self._weights, strict=True))


def _master(weight: nn.Parameter) -> Tensor:
    """A float32 copy to step on; the weight itself where it is no narrower."""
    if weight.dtype not in (torch.bfloat16, torch.float16):
        return weight
    return weight.detach().float().requires_grad_()
