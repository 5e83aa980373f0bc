"""The part of the jail that runs inside it, or prepares it: system calls by hand, each with its reason.

A fresh Python executes this folder with an empty environment. Its files need the standard library alone.
"""
