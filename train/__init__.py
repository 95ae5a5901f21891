"""Training: everything that touches disk, time or a seed."""
