"""Coverage-guided fuzzing of the host's frame decoder; not part of the test suite.

`pip install --group fuzz`, then `python -m tests.attacks.fuzz -max_total_time=600 -rss_limit_mb=512`. It runs
until the time is over or an input breaks the decoder, which libFuzzer then writes to a file.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["palaestra.sandbox", "tests.attacks.decode"]):
    from palaestra.sandbox.worker.wire import Kind
    from tests.attacks.decode import as_frames, decode

KINDS = list(Kind)


def one_input(data: bytes) -> None:
    """Odd inputs are a stream of bytes as it comes, even ones headers and bodies of well-formed frames."""
    if len(data) % 2:
        decode(data[1:])
    else:
        provider = atheris.FuzzedDataProvider(data)
        kinds = [KINDS[provider.ConsumeIntInRange(0, len(KINDS) - 1)] for _ in range(3)]
        decode(
            as_frames(kinds, [provider.ConsumeBytes(provider.ConsumeIntInRange(0, 300)) for _ in range(6)])
        )


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
