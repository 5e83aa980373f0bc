"""Palaestra: run language-model agents, rank their trajectories, train a policy on the rankings."""
