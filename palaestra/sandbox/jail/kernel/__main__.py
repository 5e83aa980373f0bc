"""Entry point of the zygote: `python -I -S <this file> <descriptor of its socket>`."""

import gc
import importlib
import os
import sys
import types

if __name__ == "__main__":
    gc.disable()  # until everything is imported
    # Empty packages stand in for Palaestra, as for the worker itself (see its own __main__): neither the
    # zygote nor the cells that run in its forks hold anything of the host's.
    kernel = os.path.dirname(os.path.abspath(__file__))
    sandbox = os.path.dirname(os.path.dirname(kernel))
    packages = {
        "palaestra": "",
        "palaestra.sandbox": "",
        "palaestra.sandbox.worker": os.path.join(sandbox, "worker"),
        "palaestra.sandbox.jail": "",
        "palaestra.sandbox.jail.kernel": kernel,
    }
    for name, folder in packages.items():
        package = types.ModuleType(name)
        package.__path__ = [folder] if folder else []
        sys.modules[name] = package
    repl = importlib.import_module("palaestra.sandbox.worker.repl")
    zygote = importlib.import_module("palaestra.sandbox.jail.kernel.zygote")
    for name in [
        name for name in sys.modules if name in packages or name.startswith("palaestra.sandbox.jail.")
    ]:
        del sys.modules[name]
    sys.dont_write_bytecode = True
    descriptor = int(sys.argv[1])
    sys.argv[:], sys.orig_argv[:] = [""], []  # they name folders of the host's
    zygote.serve(descriptor, repl.serve)
