"""`palaestra doctor`."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import requires

from palaestra.cli.text import one_line, print_table
from palaestra.core.errors import PalaestraError
from palaestra.core.places import load
from palaestra.sandbox.jail.config import JailConfig
from palaestra.sandbox.jail.probe import probe
from palaestra.sandbox.registry import BACKENDS
from palaestra.store.environment import installed

KEYS = (
    "ANTHROPIC_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AZURE_API_KEY",
    "DEEPSEEK_API_KEY",
    "GEMINI_API_KEY",
    "GROQ_API_KEY",
    "HF_TOKEN",
    "MISTRAL_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "TOGETHERAI_API_KEY",
    "XAI_API_KEY",
)
"""Environment variables in which common providers expect their key."""
PROBE_SECONDS = 5


def doctor() -> None:
    """Tell what this machine offers."""
    print_table(
        ("part", "found"),
        [
            ("palaestra", installed(("palaestra",))["palaestra"]),
            ("python", f"{platform.python_version()} ({platform.platform()})"),
            ("processors", os.cpu_count()),
            (
                "gpu",
                _first_line(
                    "nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"
                ),
            ),
            ("sandboxes", ", ".join(sorted(BACKENDS))),
            *_jail(),
            *_docker(),
        ],
    )
    print()
    print_table(("package", "for", "version"), _packages())
    print()
    print_table(("key", "set"), [(key, "yes" if os.environ.get(key) else "no") for key in KEYS])


def _jail() -> list[tuple[str, str]]:
    """What the jail can be made of here, tried out."""
    found = probe(JailConfig())
    tiers = [
        (f"jail: {tier}", f"none: {problem}" if problem else "yes") for tier, problem in found.tiers.items()
    ]
    return tiers + [(f"kernel: {part}", value) for part, value in found.kernel.items()]


def _docker() -> list[tuple[str, str]]:
    """The engine, or why there is none."""
    try:
        rows: list[tuple[str, str]] = load("palaestra.sandbox.docker.report:report", "the docker sandbox")()
    except PalaestraError as error:
        return [("docker", f"none: {error}")]
    return rows


def _packages() -> list[tuple[str, str, str]]:
    """What Palaestra requires, with the extra that asks for it and the version that is installed."""
    rows = []
    for requirement in requires("palaestra") or ():
        name = re.split(r"[^\w-]", requirement, maxsplit=1)[0]
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        rows.append((name, extra[1] if extra else "", installed((name,)).get(name, "not installed")))
    return rows


def _first_line(*command: str) -> str:
    """The first line that a program prints; or why there is none."""
    if shutil.which(command[0]) is None:
        return f"none: {command[0]} is not installed"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"none: {command[0]} did not answer within {PROBE_SECONDS} s"
    if done.returncode:
        return f"none: {one_line(done.stderr or done.stdout, 80)}"
    return one_line(done.stdout.partition("\n")[0])
