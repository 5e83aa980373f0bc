"""What would stop a training run at once, found before it begins: no weights are read, nobody is asked."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, PreTrainedTokenizerBase

from palaestra.arena.judges.registry import check_judge
from palaestra.core.errors import ConfigError
from palaestra.models.hf import encode_chat, is_hub_id, read_tokenizer
from palaestra.training.config import TrainConfig
from palaestra.training.pipeline import tasks_of
from palaestra.training.policy import examples_of, untrained
from palaestra.training.rollouts import conversation


def check(config: TrainConfig) -> None:
    """
    Raises:
        ConfigError, DataError: the judge or the policy cannot be opened, a family has too few tasks, or none
            of its prompts fits into the policy's window, as far as that is known without a download.
    """
    check_judge(config.judge, config.seed)
    tasks_of(config, config.evaluation.tasks, "held-out")
    tasks = tasks_of(config, config.tasks, "train")
    if config.teacher.model and config.teacher.model.name.startswith("hf/"):
        other = config.teacher.model.name.removeprefix("hf/")
        if not is_hub_id(other):
            read_tokenizer(other, config.teacher.model.name)
    tokenizer, window = _tokenizer_and_window(config)
    if tokenizer is None or window is None:
        return
    answer = (config.stages[0].max_tokens if config.stages else None) or config.rollout.max_tokens
    for family in sorted({task.family for task in tasks}):
        prompts = [conversation(task, config.rollout.show_context) for task in tasks if task.family == family]
        length = len(encode_chat(tokenizer, min(prompts, key=lambda prompt: len(prompt[0].content))))
        if length + answer > window:
            larger = "raise tiny.window" if _is_tiny(config) else "take a policy with a larger window"
            raise ConfigError(
                f"no prompt of {family} fits: the shortest has {length} tokens, {answer} are to be drawn, "
                f"and {config.policy.name} has a window of {window}; lower rollout.max_tokens, set "
                f"rollout.show_context=false or {larger}"
            )


def _is_tiny(config: TrainConfig) -> bool:
    return config.policy.name.startswith("tiny/")


def _tokenizer_and_window(config: TrainConfig) -> tuple[PreTrainedTokenizerBase | None, int | None]:
    """The policy's, or None for what only a download would tell."""
    if _is_tiny(config):
        policy = untrained(config, examples_of(config))
        return policy.tokenizer, policy.context_window
    path = config.policy.name.removeprefix("hf/")
    if is_hub_id(path) and not Path(path).is_dir():
        return None, None
    tokenizer = read_tokenizer(path, config.policy.name)
    known = getattr(AutoConfig.from_pretrained(path), "max_position_embeddings", None)
    return tokenizer, config.policy.context_window or known
