"""Palaestra: run language-model agents, rank their trajectories, train a policy on the rankings."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
