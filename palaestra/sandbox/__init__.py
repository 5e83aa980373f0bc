"""Sandboxes: Python REPLs in other processes, for code that a model wrote."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
