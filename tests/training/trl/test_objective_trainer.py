"""TRL's trainer with our objectives: rank advantages, TRL's losses, AEPO's controller, two processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from palaestra.arena.judges.programmatic import ProgrammaticJudge
from palaestra.arena.topologies.round_robin import RoundRobinConfig
from palaestra.core.errors import ConfigError, TrainingError
from palaestra.core.ranking import rank_by
from palaestra.models.tiny import TinyConfig, TinyModel
from palaestra.training.advantages.rank import rank_advantages
from palaestra.training.objective_state import FILE
from palaestra.training.objectives import grpo
from palaestra.training.objectives.aepo import AEPO, AEPOConfig, AEPOState
from palaestra.training.objectives.arena_rl import ArenaRL, ArenaRLConfig
from palaestra.training.objectives.base import Objective
from palaestra.training.objectives.dapo import DAPO, DAPOConfig
from palaestra.training.objectives.dr_grpo import DrGRPO, DrGRPOConfig
from palaestra.training.objectives.entropy_masked import EntropyMasked, EntropyMaskedConfig
from palaestra.training.objectives.gspo import GSPO, GSPOConfig
from palaestra.training.objectives.pipeline_rl import PipelineRL, PipelineRLConfig
from palaestra.training.objectives.sdpo import SDPO, SDPOConfig
from palaestra.training.trl.objective_trainer import ObjectiveTrainer
from palaestra.training.trl.tournament_reward import TournamentReward

SMALL = TinyConfig(vocabulary=300, hidden=32, layers=2, heads=2, feed_forward=64, window=256)
GROUP = 4


def worth(answer: str) -> float:
    return sum(map(ord, answer)) % 101 / 10


def tournament(group: int = GROUP) -> TournamentReward:
    judge = ProgrammaticJudge("code points", lambda task, trajectory: worth(trajectory.answer))
    return TournamentReward(judge, group, topology=RoundRobinConfig())


class Watched(ObjectiveTrainer):
    """Keeps what it makes of each batch, and the loss of each of its parts beside TRL's own."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.drawn: list[dict[str, Any]] = []
        self.losses: list[tuple[float, float]] = []
        self.gradient_gap = 0.0
        super().__init__(*given, **named)

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self.drawn.append(super()._generate_and_score_completions(inputs))
        return self.drawn[-1]

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss, theirs = super()._compute_loss(model, inputs), GRPOTrainer._compute_loss(self, model, inputs)
        self.losses.append((loss.item(), theirs.item()))
        weights = list(model.parameters())
        pairs = zip(
            *(torch.autograd.grad(each, weights, retain_graph=True) for each in (loss, theirs)), strict=True
        )
        gap = max((one - other).abs().max().item() for one, other in pairs)
        self.gradient_gap = max(self.gradient_gap, gap)
        return loss


def trainer(
    folder: Path,
    objective: Objective,
    *,
    of: type = Watched,
    reward: Callable[..., list[float | None]] | None = None,
    steps: int = 2,
    **settings: Any,
) -> Any:
    policy = TinyModel.build("tiny/test", ["plan a day", "09:00 Grove Museum"] * 20, SMALL, "cpu", seed=1)
    policy.save(folder / "policy")  # TRL makes the reference by loading the policy once more
    rows = [{"prompt": prompt, "family": prompt[0]} for prompt in ("plan a day", "plan", "a museum", "two")]
    defaults: dict[str, Any] = {
        "output_dir": str(folder / "run"),
        "per_device_train_batch_size": GROUP,
        "gradient_accumulation_steps": 2,
        "num_generations": GROUP,
        "max_completion_length": 12,
        "max_steps": steps,
        "learning_rate": 0.01,
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "logging_steps": 1,
        "disable_tqdm": True,
        "save_strategy": "no",
    }
    return of(
        str(folder / "policy"),
        reward or tournament(),
        GRPOConfig(**defaults | settings),
        objective=objective,
        train_dataset=Dataset.from_list(rows),
        processing_class=policy.tokenizer,
    )


def expected_advantages(watched: Any, drawn: dict[str, Any]) -> torch.Tensor:
    texts = watched.processing_class.batch_decode(drawn["completion_ids"], skip_special_tokens=True)
    found = []
    for start in range(0, len(texts), GROUP):
        ranks = rank_by({str(place): worth(text) for place, text in enumerate(texts[start : start + GROUP])})
        found.append(rank_advantages([ranks[str(place)] for place in range(GROUP)]))
    return torch.cat(found)


def test_advantages_are_those_of_the_ranks(tmp_path: Path) -> None:
    watched = trainer(tmp_path, ArenaRL(ArenaRLConfig(advantage="reward")))
    watched.train()
    assert len(watched.drawn) == 2
    for drawn in watched.drawn:
        expected = expected_advantages(watched, drawn)
        assert expected.std() > 0.5
        torch.testing.assert_close(drawn["advantages"], expected[:, None] * drawn["completion_mask"])


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        (ArenaRL(ArenaRLConfig()), {"loss_type": "dapo", "epsilon_high": 0.28}),
        (
            grpo.GRPO(grpo.GRPOConfig(kl=0.1)),
            {"loss_type": "grpo", "beta": 0.1, "use_bias_correction_kl": False},
        ),
        (DrGRPO(DrGRPOConfig(max_tokens=12)), {"loss_type": "dr_grpo"}),
        (GSPO(GSPOConfig()), {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
    ],
)
def test_losses_and_gradients_are_those_of_trl(
    tmp_path: Path, objective: Objective, settings: dict[str, Any]
) -> None:
    """In two passes over each batch, so that the second has ratios to clip, and two parts of each pass."""
    clips = getattr(objective, "config").model_dump()  # noqa: B009
    bounds = {"epsilon": clips["clip_low"], "epsilon_high": clips["clip_high"]}
    watched = trainer(tmp_path, objective, steps=4, num_iterations=2, **bounds | settings)
    watched.train()
    assert len(watched.losses) == 8
    for ours, theirs in watched.losses:
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    assert watched.gradient_gap < 1e-6
    assert any(entry.get("clip_fraction", 0) > 0 for entry in watched.state.log_history)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_no_push_down_where_entropy_is_high(tmp_path: Path, level: Any) -> None:
    config = EntropyMaskedConfig(advantage="reward", level=level, threshold=0.0)
    watched = trainer(tmp_path, EntropyMasked(config), steps=1)
    watched.train()
    (drawn,) = watched.drawn
    expected = expected_advantages(watched, drawn)[:, None] * drawn["completion_mask"]
    torch.testing.assert_close(drawn["advantages"], expected.clamp(min=0))
    assert torch.equal(drawn["loss_mask"], drawn["completion_mask"].bool())


def test_the_controller_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """Above the band it keeps negative advantages out, and inside it a resumed one remembers that."""
    above = AEPO(AEPOConfig(advantage="reward", entropy_low=0.0, entropy_high=1e-9))
    first = trainer(tmp_path, above, steps=1, save_strategy="steps", save_steps=1)
    first.train()
    assert (first.drawn[0]["advantages"] >= 0).all()
    inside = AEPO(AEPOConfig(advantage="reward", entropy_low=0.0, entropy_high=1e9))
    resumed = trainer(tmp_path, inside, steps=2)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))
    assert len(resumed.drawn) == 1
    assert (resumed.drawn[0]["advantages"] >= 0).all()
    assert resumed._objective.state == AEPOState(use_negatives=False)


def test_a_checkpoint_of_another_trainer_is_refused(tmp_path: Path) -> None:
    first = trainer(tmp_path, AEPO(AEPOConfig()), steps=1, save_strategy="steps", save_steps=1)
    first.train()
    checkpoint = tmp_path / "run" / "checkpoint-1"
    (checkpoint / FILE).unlink()
    with pytest.raises(TrainingError, match=f"holds no {FILE}"):
        trainer(tmp_path, AEPO(AEPOConfig()), steps=2).train(resume_from_checkpoint=str(checkpoint))


def half(completions: list[str], **_: Any) -> list[float | None]:
    """Tells nothing of the first group, and of the second who is odd."""
    return [None] * GROUP + [1.0 + place % 2 for place in range(len(completions) - GROUP)]


def equal(completions: list[str], **_: Any) -> list[float | None]:
    """Tells the first group apart and the second not."""
    return [*range(1, GROUP + 1), *[1.0] * (len(completions) - GROUP)]


@pytest.mark.parametrize(("reward", "kept"), [(half, slice(GROUP, None)), (equal, slice(GROUP))])
def test_what_is_dropped_counts_nowhere(tmp_path: Path, reward: Any, kept: slice) -> None:
    """A group without rewards, and one that DAPO finds uniform."""
    watched = trainer(tmp_path, DAPO(DAPOConfig(advantage="reward")), reward=reward, steps=1)
    watched.train()
    (drawn,) = watched.drawn
    expected = torch.zeros_like(drawn["loss_mask"])
    expected[kept] = drawn["completion_mask"][kept].bool()
    assert torch.equal(drawn["loss_mask"], expected)
    assert (drawn["total_sequences"], drawn["total_tokens"]) == (GROUP, int(expected.sum()))
    of_tokens = (drawn["advantages"] * expected).sum() / expected.sum()
    assert sum(loss for loss, _ in watched.losses) == pytest.approx(-of_tokens.item(), abs=1e-5)


def test_what_trl_does_not_have_is_refused(tmp_path: Path) -> None:
    for objective, problem in (
        (SDPO(SDPOConfig()), "more than rewards"),
        (ArenaRL(ArenaRLConfig(kl=0.1)), "set beta"),
        (PipelineRL(PipelineRLConfig()), "use_vllm"),
    ):
        with pytest.raises(ConfigError, match=problem):
            trainer(tmp_path, objective)


PROCESS = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_objective_trainer import Watched, tournament, trainer, worth
from palaestra.training.objectives.aepo import AEPO, AEPOConfig

class Shared(Watched):
    def __init__(self, model, reward, *given, **named):
        super().__init__(model, tournament(8), *given, **named)

folder = Path(sys.argv[1]) / __import__("os").environ["RANK"]
objective = AEPO(AEPOConfig(advantage="reward", entropy_low=0.0, entropy_high=1e9))
watched = trainer(folder, objective, of=Shared, num_generations=8, gradient_accumulation_steps=1, steps=3)
watched.train()
decode = watched.processing_class.batch_decode
texts = [decode(drawn["completion_ids"], skip_special_tokens=True) for drawn in watched.drawn]
print(json.dumps({
    "worths": [[worth(text) for text in each] for each in texts],
    "advantages": [drawn["advantages"][:, 0].tolist() for drawn in watched.drawn],
    "lengths": [drawn["completion_mask"].sum(-1).tolist() for drawn in watched.drawn],
    "losses": [loss for loss, _ in watched.losses],
    "weights": sum(float(weight.double().square().sum()) for weight in watched.model.parameters()),
}))
watched.accelerator.wait_for_everyone()
watched.accelerator.end_training()
"""


def test_a_group_that_two_processes_share_is_one_group(
    tmp_path: Path, in_two_processes: Callable[..., list[list[str]]]
) -> None:
    """Ranks, advantages and the loss are those of all eight completions; both end with the same weights."""
    outputs = in_two_processes(PROCESS, str(tmp_path), str(Path(__file__).parent))
    first, second = (json.loads(lines[-1]) for lines in outputs)
    assert first["weights"] == second["weights"]
    for step in range(3):
        worths, advantages, lengths = (
            first[name][step] + second[name][step] for name in ("worths", "advantages", "lengths")
        )
        ranks = rank_by({str(place): value for place, value in enumerate(worths)})
        expected = rank_advantages([ranks[str(place)] for place in range(8)]).tolist()
        assert advantages == pytest.approx(expected, abs=1e-6)
        loss = (first["losses"][step] + second["losses"][step]) / 2
        weighted = sum(-advantage * length for advantage, length in zip(expected, lengths, strict=True))
        assert loss == pytest.approx(weighted / sum(lengths), abs=1e-5)
