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

SCALED_MNIST = Config(
    experiment="scaled-mnist",
    net="SCALED_8_113",
    epochs=2,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-4,
    weight_decay=0,
    cut_epochs=(),
    stored_size=113,
)
"""A TensorFlow repository's small net on MNIST: 8 filters, 113 pixels, two epochs of Adam.

It reports 95.57 % on validation images. Ours: 97.07 % on the test images, in 7 minutes on 2 cores.

    python -m train.fetch mnist mnist && python -m train.main --experiment scaled-mnist --data mnist
"""

KERAS_MNIST = Config(
    experiment="keras-mnist",
    net="KERAS_STRIDE_4",
    epochs=5,
    batch_size=64,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0,
    cut_epochs=(),
    stored_size=224,
)
"""A Keras notebook's net on MNIST at 224 pixels: five epochs of Adam.

    python -m train.fetch mnist mnist && python -m train.main --experiment keras-mnist --data mnist
"""

EXPERIMENTS = {config.experiment: config for config in (DIGITS, PAPER, SCALED_MNIST, KERAS_MNIST)}
