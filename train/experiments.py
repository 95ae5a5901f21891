"""Named experiments: net, data and recipe in one value, each with its command and its result."""

from train.config import Config

DIGITS = Config()
"""The paper's net in small on the 5,000 handwritten digits inside the package.

    python -m train.main --devices 2
"""

PAPER = Config(
    experiment="paper",
    net="PAPER",
    epochs=90,
    batch_size=128,
    learning_rate=0.01,
    cut_epochs=(25.0, 51.0, 79.0),
    flip=True,
)
"""The paper's recipe (section 5): 90 cycles in batches of 128, the rate cut by ten three times.

The paper cut it when the validation error stopped improving; these are the epochs at which the
original program's run of 2012 did so. ILSVRC takes days on a GPU, and has not been run here.

    python -m train.main --experiment paper --data DIR --devices 2
"""

EXPERIMENTS = {config.experiment: config for config in (DIGITS, PAPER)}
