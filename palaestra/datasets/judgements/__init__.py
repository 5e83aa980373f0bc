"""Recorded judgements: public data sets and runs of one's own, in one form."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
