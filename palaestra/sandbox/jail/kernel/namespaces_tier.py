"""The tier `namespaces`: nothing but the jail's own files, processes and network exists for a worker."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from palaestra.sandbox.jail.kernel import landlock, mounts, namespaces, readable, resources, seccomp
from palaestra.sandbox.jail.kernel.credentials import (
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

SCRATCH = "/scratch"
PACKAGES = "/opt"
WORKER = 2
"""The worker's number in its process namespace, after the supervisor."""


class NamespacesTier(Tier):
    """The zygote moves into namespaces with a root that holds nothing but Python, read-only.

    Every session then gets namespaces of its own, and a scratch folder in memory. There is no /proc: it tells
    more than programs need, and containers cannot mount it. An ordinary user's groups stay, as the kernel
    wants, but there is no file that they open.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.cloudpickle = f"{PACKAGES}/{os.path.basename(settings.cloudpickle)}"
        self._landlock = landlock.exists()  # a second lock here; some kernels that have namespaces lack it
        self._filter = b""
        self._proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def enter(self) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            self._unshare_as_root()
        else:
            outside = os.geteuid(), os.getegid()
            namespaces.unshare(namespaces.SHARED)
            namespaces.map_ids(self._proc, "self", outside, keep_groups=False)
        socket.sethostname("sandbox")
        mounts.seal_off()
        self._move_into_new_root()
        drop_bounding_set()
        drop_capabilities()
        no_new_privileges()
        set_dumpable(True)  # its children write their own tables of users
        self._filter = seccomp.program(WORKER, own_world=True, processes=self.settings.processes)

    def _move_into_new_root(self) -> None:
        programs = readable.PROGRAMS if self.settings.processes else ()
        paths = readable.needed([*self.settings.folders, *programs])
        outermost = readable.outermost(paths)
        hidden = readable.packages_within(outermost, self.settings.folders)
        read_only = mounts.READ_ONLY | mounts.NO_SETUID
        trees = {path: mounts.copy_tree(path, read_only | mounts.NO_DEVICES) for path in outermost}
        trees |= {path: mounts.copy_tree(path, read_only) for path in readable.DEVICES}
        trees[self.cloudpickle] = mounts.copy_tree(self.settings.cloudpickle, read_only | mounts.NO_DEVICES)
        links = {**readable.links(paths), "/tmp": SCRATCH}
        # Root could open the folders above, which only it may enter; files are made by the jail's own user.
        become(namespaces.INSIDE, namespaces.INSIDE)
        mounts.build_root(trees, hidden, links, SCRATCH)

    def _unshare_as_root(self) -> None:
        """A process that stays behind maps another user than root, which a namespace cannot do to itself."""
        zygote, users = str(os.getpid()), users_for_root()
        unshared, tell = os.pipe()
        mapper = os.fork()
        if mapper == 0:
            os.close(tell)
            os.read(unshared, 1)
            for user in users:
                with suppress(OSError):
                    namespaces.map_ids(self._proc, zygote, (user, user), keep_groups=True)
                    os._exit(0)
            os._exit(1)
        namespaces.unshare(namespaces.SHARED)
        os.close(unshared)
        os.close(tell)
        _, status = os.waitpid(mapper, 0)
        if status:
            raise PermissionError(
                "root has no other user to map into a user namespace; start as an ordinary one"
            )

    def fork(self) -> int:
        return namespaces.fork_into(namespaces.OWN)

    def furnish(self, limits: Limits) -> str:
        outside = (namespaces.INSIDE, namespaces.INSIDE)  # the zygote's namespace has the same number
        namespaces.map_ids(self._proc, "self", outside, keep_groups=False)
        be_the_first_to_die(self._proc)
        os.close(self._proc)
        options = f"size={limits.disk},nr_inodes={INODES},mode=0700"
        flags = mounts.NO_SETUID | mounts.NO_DEVICES | mounts.NO_EXECUTION
        mounts.mount_memory(SCRATCH, flags, options.encode())
        drop_bounding_set()
        drop_capabilities()
        no_new_privileges()
        set_dumpable(False)
        return SCRATCH

    def confine(self, limits: Limits, scratch: str) -> None:
        die_with_parent()
        resources.limit_resources(limits.memory, limits.processes + 1, limits.disk)  # and the supervisor
        if self._landlock:
            read = landlock.READ | (landlock.EXECUTE if self.settings.processes else 0)
            landlock.restrict([("/", read), ("/dev/null", landlock.ONLY_FILES), (scratch, landlock.USE)])
        seccomp.install(self._filter)
