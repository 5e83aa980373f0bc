"""Entry point of a sandboxed process: `python -I <this folder> <descriptors of channel and answers>`."""

import importlib
import sys
import types

PACKAGES = ("palaestra", "palaestra.sandbox", "palaestra.sandbox.worker")

if __name__ == "__main__":
    # Empty packages stand in for Palaestra while the worker's own files are imported: a session neither
    # needs the real ones nor waits for them, and cells see none of this afterwards.
    folder = sys.path.pop(0)
    for name in PACKAGES:
        package = types.ModuleType(name)
        package.__path__ = [folder] if name == PACKAGES[-1] else []
        sys.modules[name] = package
    repl = importlib.import_module("palaestra.sandbox.worker.repl")
    for name in PACKAGES:
        del sys.modules[name]
    repl.serve(int(sys.argv[1]), int(sys.argv[2]))
