from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

COMMAND = [sys.executable, "-c", "from palaestra.cli.main import main; main()", "serve", "--port", "0"]


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The base URL and the process; the process ends with the context."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def complete(url: str, model: str, key: str = "") -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello " * 10}]}
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=300)


def test_a_served_model_answers_until_ctrl_c_which_is_a_success() -> None:
    arguments = ("--model", "scripted/echo", "--served-name", "mirror", "--api-key-variable", "HOUSE_KEY")
    with serving(*arguments, "--set", "model.context_window=40", HOUSE_KEY="sesame") as (url, process):
        assert url.startswith("http://127.0.0.1:")
        answer = complete(url, "mirror", "sesame").json()
        assert answer["choices"][0]["message"]["content"] == "hello " * 10
        assert complete(url, "mirror", "guess").status_code == 401
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=300)
        assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "scripted/oracle"], "no scripted model 'oracle'"),
        (["--model", "echo"], "not of the form backend/model"),
        (["--model", "scripted/echo", "--api-key-variable", "NO_SUCH_KEY"], "NO_SUCH_KEY is not set"),
        (["--model", "scripted/echo", "latancy=1"], "did you mean 'latency'"),
        (["--model", "scripted/echo", "--host", "203.0.113.1"], "cannot listen on 203.0.113.1:0"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(arguments: list[str], words: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
