"""From an agent's settings to the agent."""

from __future__ import annotations

from palaestra.agents.base import Agent
from palaestra.agents.react import ReactAgent, ReactConfig
from palaestra.agents.rlm import RLMAgent, RLMConfig

AgentConfig = RLMConfig | ReactConfig


def make_agent(config: AgentConfig) -> Agent:
    match config:
        case RLMConfig():
            return RLMAgent(config)
        case ReactConfig():
            return ReactAgent(config)
