"""Tournaments: topologies say who meets whom, judges compare, rankings and leaderboards come out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
