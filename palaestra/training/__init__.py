"""Training: rollouts, rank advantages, objectives, and the loop that puts them together."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
