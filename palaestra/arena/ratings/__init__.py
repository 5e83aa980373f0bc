"""Ratings: one posterior over the worth of contestants from whatever comparisons there are."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
