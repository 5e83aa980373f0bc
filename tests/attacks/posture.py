"""What a sandboxed process must look like from outside, whatever its code has done."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from tests.attacks import watch

SHARED_WITH_THE_HOST = {
    "jail-namespaces": set[str](),
    "jail-landlock": set(watch.NAMESPACES),
    "docker": {"user"},
    "jail-processes": set[str](),
}
"""The namespaces in which a session of each backend may stand beside the host."""
ALLOWED_DESCRIPTORS = {"/dev/null", "pipe", "socket"}
MOST_DESCRIPTORS = 5


def check_posture(worker: int, backend: str) -> None:
    assert watch.status(worker, "NoNewPrivs") == "1"
    assert watch.status(worker, "Seccomp") == "2"
    may_empty_the_bounding_set = os.geteuid() == 0 or backend != "jail-landlock"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb", *["CapBnd"] * may_empty_the_bounding_set):
        assert int(watch.status(worker, kind), 16) == 0, kind
    for kind in ("Uid", "Gid"):
        assert "0" not in watch.status(worker, kind).split(), kind
    assert set(watch.status(worker, "Groups").split()) <= {watch.status(worker, "Gid").split()[0]}
    limits = {
        line[:26].strip(): line[26:].split()
        for line in Path(f"/proc/{worker}/limits").read_text().splitlines()
    }
    # 0 starts the program that takes dumps, where there is one; 1 does not.
    may_be_one = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0 or backend == "docker"
    assert limits["Max core file size"][1] == str(int(may_be_one))
    assert Path(f"/proc/{worker}/oom_score_adj").read_text().strip() == "1000"
    for name in ("Max address space", "Max processes", "Max open files"):
        assert limits[name][1] != "unlimited", name
    assert watch.status(worker, "TracerPid") == "0"
    _check_world(worker, backend)


def _check_world(worker: int, backend: str) -> None:
    seen = watch.world_of(worker)
    if seen is None:
        assert os.geteuid() != 0
        return  # nobody of this user can look into the process, so nobody can reach into it either
    own, (its, _, root) = watch.namespaces(), seen
    shared = {name for name in watch.NAMESPACES if own[name] == its[name]}
    assert shared <= SHARED_WITH_THE_HOST[backend]
    assert all(len(links.split()) == 1 for links in its.values()), "a thread has namespaces of its own"
    if backend != "jail-landlock":
        here = os.stat("/")
        assert (root.st_dev, root.st_ino) != (here.st_dev, here.st_ino)


def check_descriptors(worker: int) -> None:
    """Before the first cell: none of the host's but the channel and the pipes."""
    if watch.world_of(worker) is not None:
        found = watch.descriptors(worker)
        assert set(found) <= ALLOWED_DESCRIPTORS, found
        assert len(found) <= MOST_DESCRIPTORS, found
