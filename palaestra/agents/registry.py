"""From an agent's settings to the agent."""

from __future__ import annotations

from palaestra.agents.base import Agent
from palaestra.agents.memory import MemoryAgent, MemoryConfig
from palaestra.agents.plain import PlainAgent, PlainConfig
from palaestra.agents.react import ReactAgent, ReactConfig
from palaestra.agents.rlm import RLMAgent, RLMConfig
from palaestra.agents.templates import place
from palaestra.models.config import ModelConfig
from palaestra.models.registry import calls_tools

AgentConfig = RLMConfig | ReactConfig | MemoryConfig | PlainConfig


def make_agent(config: AgentConfig, model: ModelConfig) -> Agent:
    """The agent, for work with this model.

    Raises:
        ConfigError: its tools or prompts cannot be found.
    """
    place(config.prompts)
    match config:
        case RLMConfig():
            return RLMAgent(config)
        case ReactConfig():
            return ReactAgent(config, model_calls_tools=calls_tools(model))
        case MemoryConfig():
            return MemoryAgent(config)
        case PlainConfig():
            return PlainAgent(config)
