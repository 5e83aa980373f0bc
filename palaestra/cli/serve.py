"""`palaestra serve`: a model, or an agent in the place of one, behind an HTTP endpoint."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Annotated

import typer
import uvicorn
from pydantic import Field

from palaestra.agents.facade import AgentModel
from palaestra.agents.registry import AgentConfig, make_agent
from palaestra.cli.options import Overrides, Settings, as_overrides
from palaestra.core.budget import Budget
from palaestra.core.config import resolve
from palaestra.core.errors import ConfigError
from palaestra.core.record import Record
from palaestra.models.base import Model
from palaestra.models.config import ModelConfig
from palaestra.models.registry import load_model
from palaestra.models.server import ModelServer
from palaestra.sandbox.registry import SandboxConfig, sandbox_factory

SECONDS_TO_FINISH = 10
"""What requests under way get after Ctrl-C."""


class ServeConfig(Record):
    model: ModelConfig
    """What is served, or what the agent thinks with."""
    agent: Annotated[AgentConfig, Field(discriminator="name")] | None = None
    """An agent that answers in the model's place: prompts may have any length. null: none."""
    sub_model: ModelConfig | None = None
    """What the agent's code asks; null is the same model."""
    budget: Budget = Budget()
    """Of the agent, for each request."""
    sandbox: SandboxConfig = SandboxConfig()
    """Where the agent's code runs."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one of the machine's."""
    port: int = Field(default=8000, ge=0, le=65535)
    """0 picks a free one."""
    served_name: str | None = None
    """The name that requests must use; null is the model's own."""
    api_key_variable: str | None = None
    """Environment variable with the key that requests must bring; null asks for none."""
    latency: float = Field(default=0.0, ge=0)
    """Seconds that every completion takes at least: a slow provider, for load tests."""


def serve(
    model: Annotated[str, typer.Option(help="The model, such as hf/<folder> or scripted/echo.")],
    settings: Settings = None,
    agent: Annotated[
        str | None,
        typer.Option(help="An agent that answers with the model: rlm, memory or react.", show_default=False),
    ] = None,
    sub_model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For the calls that the agent's code makes.", show_default=False),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Listens there.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="0 picks a free one.", show_default="8000")] = None,
    served_name: Annotated[
        str | None,
        typer.Option(help="What requests call the model, if not by its own name.", show_default=False),
    ] = None,
    api_key_variable: Annotated[
        str | None, typer.Option(help="Environment variable with the key to ask for.", show_default=False)
    ] = None,
    latency: Annotated[
        float | None, typer.Option(help="Seconds that every answer takes at least.", show_default="0")
    ] = None,
    changes: Overrides = None,
) -> None:
    """Serve a model or an agent over OpenAI's HTTP API.

    Prints the base URL when it takes connections, and stops at Ctrl-C. With --agent, any OpenAI client can
    send a prompt of any length and gets the agent's answer; the usage is that of all its calls, and a stream
    tells of its turns.
    """
    flags = {
        "model.name": model,
        "agent.name": agent,
        "sub_model.name": sub_model,
        "host": host,
        "port": port,
        "served_name": served_name,
        "api_key_variable": api_key_variable,
        "latency": latency,
    }
    config = resolve(ServeConfig, None, as_overrides(flags, changes, settings))
    key = None if config.api_key_variable is None else _key(config.api_key_variable)
    server = ModelServer(_served(config), config.served_name, key, config.latency)
    with _listen(config.host, config.port) as listener:
        print(_base_url(config.host, listener), flush=True)
        run = uvicorn.Config(server.app(), log_level="warning", timeout_graceful_shutdown=SECONDS_TO_FINISH)
        with suppress(KeyboardInterrupt):  # raised again by uvicorn after a clean end, which is a success
            uvicorn.Server(run).run(sockets=[listener])


def _served(config: ServeConfig) -> Model:
    model = load_model(config.model)
    if config.agent is None:
        return model
    models = [model, *([load_model(config.sub_model)] if config.sub_model else [])]
    return AgentModel(
        f"{config.agent.name}/{config.model.name}",
        make_agent(config.agent, config.model),
        models,
        sandbox_factory(config.sandbox),
        config.budget,
    )


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise ConfigError(f"the environment variable {variable} is not set; put the key into it")
    return key


def _listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already: they wait for the server, so its address can be told."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; change --port") from error


def _base_url(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/v1"
