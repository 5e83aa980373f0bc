"""Measurements, side by side in one process, written to `benchmarks/results` and into docs/benchmarks.md."""
