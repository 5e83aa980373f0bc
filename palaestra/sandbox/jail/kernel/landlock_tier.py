"""The tier `landlock`: for machines without namespaces, such as ordinary containers."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice

from palaestra.sandbox.jail.kernel import landlock, readable, resources, seccomp
from palaestra.sandbox.jail.kernel.credentials import (
    DAC_OVERRIDE,
    KILL,
    NOBODY,
    be_the_first_to_die,
    become,
    die_with_parent,
    drop_bounding_set,
    drop_capabilities,
    no_new_privileges,
    set_dumpable,
    users_for_root,
)
from palaestra.sandbox.jail.kernel.tier import INODES, Limits, Settings, Tier

MOST_TASKS = 1 << 15
"""Of a user that sessions share, its other ones too. The threads of each session are watched."""


class LandlockTier(Tier):
    """The worker sees the host's file system, but opens nothing except Python's files and its scratch folder.

    What Landlock does not restrict is closed by seccomp. The scratch folder is a real one: files in it can
    be made, written and overwritten, but not deleted, so that the supervisor, which looks at it many times a
    second, sees all that it holds. Paths outside can be asked for (`stat`, `readlink`; of processes too, by
    /proc), though not changed or read.
    """

    seconds_between_watches = 0.05

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.processes:
            raise PermissionError("this tier cannot bound processes")
        self._rules: list[tuple[str, int]] = []
        self._scratch = ""
        self._user = 0
        """0 where it stays the host's."""

    def enter(self) -> None:
        landlock.version()
        paths = readable.outermost(readable.needed(self.settings.folders))
        hidden = readable.packages_within(paths, self.settings.folders)
        self._rules.append((self.settings.cloudpickle, landlock.READ))
        for path in paths:
            self._rules.append((path, landlock.READ_DIR))
            self._rules += [(below, landlock.READ) for below in readable.without(path, hidden)]
        self._rules += [(readable.DEVICES[0], landlock.ONLY_FILES), (readable.DEVICES[1], landlock.READ)]

    def fork(self) -> int:
        return os.fork()

    def furnish(self, limits: Limits) -> str:
        be_the_first_to_die()
        set_dumpable(False)
        self._scratch = f"{self.settings.scratches}{os.urandom(8).hex()}"
        os.mkdir(self._scratch, 0o700)
        if os.geteuid() == 0:
            self._user = _owner_for(self._scratch)
        return self._scratch

    def confine(self, limits: Limits, scratch: str) -> None:
        if self._user:
            os.setgroups([])
            drop_bounding_set()
            become(self._user, self._user)
        die_with_parent()
        set_dumpable(False)
        drop_capabilities()
        no_new_privileges()
        resources.limit_resources(
            limits.memory, limits.processes if self._user not in (0, NOBODY) else MOST_TASKS, limits.disk
        )
        try:
            landlock.restrict([*self._rules, (scratch, landlock.GROW)])
        except PermissionError as error:
            raise PermissionError(
                f"sessions may not read {error.filename}: set sandbox.jail.python to one that all users may"
            ) from error
        seccomp.install(seccomp.program(os.getpid(), own_world=False, processes=False))

    def give_up_rights(self) -> None:
        if self._user:
            drop_bounding_set()
            drop_capabilities((KILL, DAC_OVERRIDE))  # to end the worker, and to look into its folder
        no_new_privileges()

    def excess(self, worker: int, limits: Limits) -> str:
        with open(f"/proc/{worker}/stat", "rb") as file:
            threads = int(file.read().rpartition(b") ")[2].split()[17])
        if threads > limits.processes:
            return f"{threads} threads"
        with os.scandir(self._scratch) as entries:
            files = [entry.stat(follow_symlinks=False) for entry in islice(entries, INODES + 1)]
        if len(files) > INODES or sum(file.st_blocks for file in files) * 512 > limits.disk:
            return f"a scratch folder of more than {limits.disk >> 20} MB or {INODES} files"
        return ""

    def clean_up(self) -> None:
        if self._scratch:
            for name in os.listdir(self._scratch):  # of files; a worker cannot make folders
                with suppress(OSError):
                    os.unlink(f"{self._scratch}/{name}")
            os.rmdir(self._scratch)


def _owner_for(folder: str) -> int:
    """The user that a session of root's gets, who now owns this folder."""
    for user in users_for_root():
        try:
            os.chown(folder, user, user)
        except PermissionError as error:
            raise PermissionError("root cannot become another user here; start as an ordinary one") from error
        except OSError:
            continue  # the container does not have this number
        return user
    raise PermissionError("root has no other user here; start as an ordinary one")
