"""How many steps a recipe takes, for a number of training images."""

from .recipe import Recipe


def steps_per_epoch(recipe: Recipe, images: int) -> float:
    """Return the batches in one pass over `images` training images."""
    return images / recipe.batch_size


def last_step(recipe: Recipe, images: int) -> int:
    """Return the number of steps of a run on `images` training images, at least 1."""
    return recipe.steps or max(1, -(-round(recipe.epochs * images) // recipe.batch_size))
