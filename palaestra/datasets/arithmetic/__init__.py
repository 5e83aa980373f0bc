"""Formulas that reach a target: the 24 game (GeneralPoints) and Countdown, with one exact verifier."""
