"""A network as a table and as a diagram, and what it looks at in an image."""
