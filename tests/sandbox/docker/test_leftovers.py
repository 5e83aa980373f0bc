import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.image import image_name
from palaestra.sandbox.docker.leftovers import folder_prefix, is_orphan, owner_labels, remove, sweep

LABEL = """
import json
from palaestra.sandbox.docker.leftovers import owner_labels
print(json.dumps(owner_labels()))
"""
CREATE = f"""
from palaestra.sandbox.docker.engine import connect
from palaestra.sandbox.docker.leftovers import owner_labels
print(connect().create_container({image_name()!r}, labels=owner_labels())["Id"])
"""


def test_an_owner_is_dead_when_its_process_or_its_machine_is_another() -> None:
    labels = owner_labels()
    assert not is_orphan(labels)
    assert is_orphan(labels | {"palaestra.started": "1"})
    assert is_orphan(labels | {"palaestra.boot": "an earlier one"})
    assert not is_orphan(labels | {"palaestra.started": "1", "palaestra.processes": "of a container"})


def test_a_process_that_ended_is_dead_before_and_after_its_parent_knows() -> None:
    with subprocess.Popen([sys.executable, "-c", LABEL], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        labels = json.loads(process.stdout.read())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_orphan(labels)
    assert is_orphan(labels)


@pytest.mark.docker
def test_the_containers_of_dead_owners_are_swept_and_no_others() -> None:
    engine = connect()
    orphan = subprocess.run(
        [sys.executable, "-c", CREATE], capture_output=True, text=True, check=True
    ).stdout.strip()
    own = engine.create_container(image_name(), labels=owner_labels())["Id"]
    try:
        (orphans_name,) = engine.inspect_container(orphan)["Name"].split("/")[1:]
        assert orphans_name in sweep(engine)
        assert [each["Id"] for each in engine.containers(all=True) if each["Id"] in (own, orphan)] == [own]
    finally:
        remove(engine, own)


@pytest.mark.docker
def test_the_folders_of_dead_owners_are_swept_and_no_others(tmp_path: Path) -> None:
    code = "import os; from palaestra.sandbox.docker.leftovers import folder_prefix; print(folder_prefix())"
    prefix = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    orphan, own = (Path(tempfile.mkdtemp(prefix=each)) for each in (prefix, folder_prefix()))
    try:
        assert str(orphan) in sweep(connect())
        assert (orphan.exists(), own.exists()) == (False, True)
    finally:
        own.rmdir()
