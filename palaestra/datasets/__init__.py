"""Tasks: from files, from the Hugging Face hub, and from generated families."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
