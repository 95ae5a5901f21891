"""Figures of a run: `python -m train.figures`; a module for each of them."""
