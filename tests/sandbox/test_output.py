"""What is read from a process's output, whoever else reads it."""

import asyncio
import os
import subprocess
import sys
import threading

from palaestra.sandbox.output import OutputPipe

STEAL = """
import os, sys
while True:
    try:
        os.read(int(sys.argv[1]), 1)
    except BlockingIOError:
        pass
"""


def test_output_that_is_taken_away_between_a_look_and_a_read_is_just_missing() -> None:
    """A process can read from its own end where it can open /proc."""
    reader, writer = os.pipe()

    async def take() -> None:
        output = OutputPipe(open(reader, "rb", buffering=0), 100)  # noqa: SIM115 - the pipe owns it
        thief = subprocess.Popen([sys.executable, "-c", STEAL, str(reader)], pass_fds=[reader])
        missing = 0
        try:
            while missing < 20:
                os.write(writer, b"xx")
                missing += output.take()[0] != "xx"
        finally:
            thief.kill()
            thief.wait()
            output.close()

    asyncio.run(take())
    os.close(writer)


def test_all_that_was_written_is_taken_and_once() -> None:
    async def take() -> None:
        reader, writer = os.pipe()
        output = OutputPipe(open(reader, "rb", buffering=0), 300_000)  # noqa: SIM115 - the pipe owns it
        assert output.take() == ("", False)
        written = "".join(f"{number}\n" for number in range(40_000))

        def write() -> None:
            with open(writer, "wb") as file:
                file.write(written.encode())

        sent = threading.Thread(target=write)
        sent.start()
        taken = ""
        while sent.is_alive():
            taken += output.take()[0]
        taken += output.take()[0]
        assert taken == written
        assert output.take() == ("", False)
        output.close()

    asyncio.run(take())
