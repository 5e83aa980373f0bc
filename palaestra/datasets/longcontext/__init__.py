"""Tasks over contexts of any length: published benchmarks rebuilt as generators, and their scores."""
