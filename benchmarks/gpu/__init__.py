"""The check on a card: `python -m benchmarks.gpu --out DIR`."""
