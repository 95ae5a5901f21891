"""Everything that is jitted: the training step, the evaluation step, augmentation, optimizers."""
