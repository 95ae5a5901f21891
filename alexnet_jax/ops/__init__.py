"""The operations of the layers, as pure functions."""
