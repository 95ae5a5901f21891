"""A trained network as something to predict with."""
