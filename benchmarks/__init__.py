"""Benchmarks of speed and memory, run from a checkout: `python -m benchmarks.step`."""
