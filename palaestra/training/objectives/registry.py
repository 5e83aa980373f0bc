"""Objectives by name: `objective.name=gspo`, or a group of settings with that name in it.

| name | learns from | in a line |
|---|---|---|
| arena-rl | ranks | PPO's clip on rank advantages, token mean, optional KL (the default) |
| grpo | rewards | the group as baseline, mean per sequence, k3 KL in the loss |
| dr-grpo | rewards | GRPO without division by deviation and length |
| dapo | rewards | clip-higher, token mean, uniform groups dropped, overlong answers penalised |
| gspo | rewards | one ratio for the whole sequence |
| reinforce | rewards | −A log π, rewards as they are |
| rloo | rewards | leave-one-out baseline, KL in the reward |
| reinforce++ | rewards | k1 in the token reward, whitened over the batch's tokens |
| pipeline-rl | rewards | leave-one-out, truncated importance weights for stale rollouts |
| aepo | rewards | negative advantages switched by the batch's entropy, with hysteresis (keeps state) |
| entropy-masked | rewards | no negative advantage on tokens or sequences of high entropy |
| psr, nsr, w-reinforce | right or wrong | only right, only wrong, or both with weights λ and 1 |
| rlpr | reference answers | probability rewards, groups of little spread dropped (keeps state) |
| ppo | rewards | a value model, GAE, KL in the reward |
| quark | rewards | imitate the best quarter, exact KL |
| on-policy-distillation | a teacher | reverse KL on the student's own samples |
| sdpo | feedback | the policy that has seen feedback teaches the one that has not |
| sdpo-grpo | feedback and rewards | both advantages mixed |
| grade, grade-ste | a differentiable reward | Gumbel-softmax generation, soft or straight-through |
| light-reasoner | an amateur | the contrast of expert and amateur as a soft label |
| sft | answers | negative log-likelihood; `selection` tells whose answers |
| dpo, simpo | pairs | preferences, with and without a reference |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from palaestra.core.record import Record
from palaestra.training.objectives.aepo import AEPO, AEPOConfig
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import Objective
from palaestra.training.objectives.dapo import DAPO, DAPOConfig
from palaestra.training.objectives.dpo import DPO, DPOConfig
from palaestra.training.objectives.dr_grpo import DrGRPO, DrGRPOConfig
from palaestra.training.objectives.entropy_masked import EntropyMasked, EntropyMaskedConfig
from palaestra.training.objectives.grade import GRADE, GRADEConfig
from palaestra.training.objectives.grade_ste import GRADESTE, GRADESTEConfig
from palaestra.training.objectives.grpo import GRPO, GRPOConfig
from palaestra.training.objectives.gspo import GSPO, GSPOConfig
from palaestra.training.objectives.light_reasoner import LightReasoner, LightReasonerConfig
from palaestra.training.objectives.nsr import NSR, NSRConfig
from palaestra.training.objectives.on_policy_distillation import (
    OnPolicyDistillation,
    OnPolicyDistillationConfig,
)
from palaestra.training.objectives.pipeline_rl import PipelineRL, PipelineRLConfig
from palaestra.training.objectives.ppo import PPO, PPOConfig
from palaestra.training.objectives.psr import PSR, PSRConfig
from palaestra.training.objectives.quark import Quark, QuarkConfig
from palaestra.training.objectives.reinforce import Reinforce, ReinforceConfig
from palaestra.training.objectives.reinforce_plus_plus import ReinforcePlusPlus, ReinforcePlusPlusConfig
from palaestra.training.objectives.rloo import RLOO, RLOOConfig
from palaestra.training.objectives.rlpr import RLPR, RLPRConfig
from palaestra.training.objectives.sdpo import SDPO, SDPOConfig
from palaestra.training.objectives.sdpo_grpo import SDPOGRPO, SDPOGRPOConfig
from palaestra.training.objectives.sft import SFT, SFTConfig
from palaestra.training.objectives.simpo import SimPO, SimPOConfig
from palaestra.training.objectives.w_reinforce import WReinforce, WReinforceConfig

_OBJECTIVES: Mapping[type[Record], Callable[[Any], Objective]] = {
    ArenaRLConfig: ArenaRL,
    GRPOConfig: GRPO,
    DrGRPOConfig: DrGRPO,
    DAPOConfig: DAPO,
    GSPOConfig: GSPO,
    ReinforceConfig: Reinforce,
    RLOOConfig: RLOO,
    ReinforcePlusPlusConfig: ReinforcePlusPlus,
    PipelineRLConfig: PipelineRL,
    AEPOConfig: AEPO,
    EntropyMaskedConfig: EntropyMasked,
    PSRConfig: PSR,
    NSRConfig: NSR,
    WReinforceConfig: WReinforce,
    RLPRConfig: RLPR,
    PPOConfig: PPO,
    QuarkConfig: Quark,
    OnPolicyDistillationConfig: OnPolicyDistillation,
    SDPOConfig: SDPO,
    SDPOGRPOConfig: SDPOGRPO,
    GRADEConfig: GRADE,
    GRADESTEConfig: GRADESTE,
    LightReasonerConfig: LightReasoner,
    SFTConfig: SFT,
    DPOConfig: DPO,
    SimPOConfig: SimPO,
}


def _named(value: Any) -> Any:
    if isinstance(value, str):
        return {"name": value}
    return {"name": "arena-rl", **value} if isinstance(value, dict) else value


AnyObjectiveConfig = Annotated[
    ArenaRLConfig
    | GRPOConfig
    | DrGRPOConfig
    | DAPOConfig
    | GSPOConfig
    | ReinforceConfig
    | RLOOConfig
    | ReinforcePlusPlusConfig
    | PipelineRLConfig
    | AEPOConfig
    | EntropyMaskedConfig
    | PSRConfig
    | NSRConfig
    | WReinforceConfig
    | RLPRConfig
    | PPOConfig
    | QuarkConfig
    | OnPolicyDistillationConfig
    | SDPOConfig
    | SDPOGRPOConfig
    | GRADEConfig
    | GRADESTEConfig
    | LightReasonerConfig
    | SFTConfig
    | DPOConfig
    | SimPOConfig,
    Field(discriminator="name"),
    BeforeValidator(_named),
]
"""A bare name is enough; settings without one are ArenaRL's."""


def objective(config: AnyObjectiveConfig) -> Objective:
    """The objective that `config` describes, with its first state."""
    return _OBJECTIVES[type(config)](config)
