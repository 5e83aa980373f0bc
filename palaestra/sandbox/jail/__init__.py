"""The default backend: workers that the Linux kernel locks up, with nothing to install."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
