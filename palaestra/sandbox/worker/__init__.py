"""What runs inside a sandbox: the standard library and these files, nothing else of Palaestra.

The folder is run by its path (`python -I <folder> <descriptors>`), so that it can be copied into a container
or bound into a jail on its own. The host imports `wire` and `excerpt` from here too.
"""
