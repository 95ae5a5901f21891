"""Untrained runs: folders of noise pictures, and a run folder at step 0."""

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from tests.support.tiny import draw_params
from train.config import saved
from train.config.config import Config
from train.run_dir.checkpoints import Checkpoints
from train.run_dir.folder import load_or_measure_statistics
from train.steps.optimizers import sgd
from train.steps.schedules import initial_plateau
from train.steps.train_step import TrainState
from train.trainer.build import load_network_and_data

DEFAULTS = Config().replace(held_out=0.3)


def write_noise_pictures(root, names, count=10):
    """Write a folder of noise pictures for each class."""
    rng = np.random.default_rng(len(names))
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(noise).save(root / name / f"{i}.png")
    return root


def write_initial_run(run_dir, *, factor=1, **settings):
    """Write the folder of a run at step 0, its initial weights multiplied by `factor`."""
    settings = DEFAULTS.replace(run_dir=run_dir, **settings)
    architecture, data = load_network_and_data(settings)
    run_dir.mkdir()
    saved.save_config(settings, {"data": data.record()})
    load_or_measure_statistics(run_dir, data)
    params = jax.tree.map(lambda leaf: factor * leaf, draw_params(architecture))
    state = TrainState(jnp.int32(0), params, sgd().init(params), initial_plateau())
    with Checkpoints(run_dir) as checkpoints:
        checkpoints.save(state, 0, None)
    return run_dir
