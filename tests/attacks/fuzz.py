"""Coverage-guided fuzzing of the host's frame decoder; not part of the test suite.

`pip install --group fuzz`, then `python -m tests.attacks.fuzz -max_total_time=600 -rss_limit_mb=512`. It runs
until the time is over or an input breaks the decoder, which libFuzzer then writes to a file.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["palaestra.sandbox", "tests.attacks.decode"]):
    from palaestra.sandbox.worker.wire import Kind
    from tests.attacks.decode import HEADERS, as_frames, decode

KINDS = list(Kind)


def one_input(data: bytes) -> None:
    """Odd inputs are a stream of bytes as it comes, even ones nearly frames."""
    if len(data) % 2:
        decode(data[1:])
        return
    provider = atheris.FuzzedDataProvider(data)
    kinds, parts = [], []
    for _ in range(provider.ConsumeIntInRange(1, 4)):
        kinds.append(provider.PickValueInList(KINDS))
        parts += [_nearly(provider.PickValueInList(list(HEADERS)).encode(), provider), _bytes(provider)]
    decode(as_frames(kinds, parts))


def _nearly(header: bytes, provider: atheris.FuzzedDataProvider) -> bytes:
    """The header with a part of it replaced."""
    start = provider.ConsumeIntInRange(0, len(header))
    stop = provider.ConsumeIntInRange(start, len(header))
    return header[:start] + _bytes(provider) + header[stop:]


def _bytes(provider: atheris.FuzzedDataProvider) -> bytes:
    return bytes(provider.ConsumeBytes(provider.ConsumeIntInRange(0, 100)))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
