"""One module per program whose weights can be read."""
