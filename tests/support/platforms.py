"""The operations for a GPU, run on a CPU."""


def choose_gpu(*operands, default, **other_platforms):
    """Stand for `jax.lax.platform_dependent` on a GPU."""
    return default(*operands)
