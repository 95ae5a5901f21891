"""Named experiments: one recipe each, with its command and its measured result."""

from .cifar_experiments import CIFAR_11PCT, CIFAR_13PCT, CIFAR_18PCT, CIFAR_19PCT
from .errors import BadInput
from .recipe import Recipe

DIGITS = Recipe()
"""The paper's net in small on the 5,000 handwritten digits inside the package.

98.30 to 99.10 % test accuracy, in 60 s on 2 quiet CPU cores, with a tenth of the training images
held out for validation.

    python -m train.main --devices 2
"""

PAPER = Recipe(
    experiment="paper",
    net="PAPER",
    epochs=90,
    batch_size=128,
    learning_rate=0.01,
    schedule="plateau",
    cut_epochs=(25.0, 51.0, 79.0),
    flip=True,
    pca_color="paper",
)
"""The paper's text: 90 epochs in batches of 128, step decay when the test error stops falling.

With `--schedule cuts`, the step decays are where the original program's were. The paper reports
40.7 % top-1 and 18.2 % top-5 error on ILSVRC-2012, with ten crops. Not run here: 37 days on 2 CPU
cores by its plan (docs/imagenet.md); on the authors' two GPUs of 2012, five to six days.

    python -m train.main --experiment paper --data DIR --devices 2
"""

ORIGINAL = Recipe(
    experiment="original",
    net="ORIGINAL",
    epochs=91,
    batch_size=128,
    learning_rate=0.01,
    schedule="original",
    cut_epochs=(),
    decay_biases=False,
    flip=True,
    crops_together=32,
    pca_color="original",
    pca_color_until=67.0,
)
"""Net 145 of the original program as it was run: the network whose errors the paper prints.

Biases have their own learning rates and no weight decay. From epoch 67 on there is no PCA color
augmentation and conv1 learns slower; from epoch 72 on conv1 is frozen. Its log has 40.66 % and
18.21 % error on ILSVRC-2012, with ten crops. Not run here: about 37 days on 2 CPU cores, as PAPER.

    python -m train.main --experiment original --data DIR --devices 2
"""

CAFFE = Recipe(
    experiment="caffe",
    net="CAFFE",
    epochs=90,
    batch_size=256,
    learning_rate=0.01,
    cut_epochs=(20.0, 40.0, 60.0, 80.0),
    bias_rate=2,
    decay_biases=False,
    stored_size=256,
    flip=True,
)
"""Caffe's models/bvlc_alexnet and its solver.prototxt; with `--net CAFFENET`, the reference net.

450,000 steps, the rate cut by ten every 100,000: on ILSVRC-2012, 90 epochs and 20. Its readme has
57.1 % top-1 and 80.2 % top-5 accuracy on the central crop. Not run here: about 37 days on 2 CPU
cores, as PAPER.

    python -m train.main --experiment caffe --data DIR --devices 2
"""

CUDA_CONVNET2 = Recipe(
    experiment="cuda-convnet2",
    net="ONE_WEIRD_TRICK",
    epochs=90,
    batch_size=128,
    learning_rate=0.01,
    schedule="dexp",
    cut_epochs=(),
    decay_biases=False,
    flip=True,
    pca_color="original",
)
"""cuda-convnet2's training example, the single tower of "One weird trick", on one GPU.

The rate of weights falls in four equal parts of the run to 1 / 250, that of biases to a tenth at
half-way. Its documentation has 42.55 % top-1 and 19.81 % top-5 error on the central crop, 40.42 %
and 18.15 % over ten. Not run here: about 37 days on 2 CPU cores, as PAPER.

    python -m train.main --experiment cuda-convnet2 --data DIR
"""

SCALED_MNIST = Recipe(
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

KERAS_MNIST = Recipe(
    experiment="keras-mnist",
    net="KERAS_STRIDE_4",
    epochs=5,
    batch_size=64,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0,
    cut_epochs=(),
    stored_size=224,
    validation=2000,
    validation_from="end",
)
"""A Keras notebook's net on MNIST at 224 pixels: five epochs of Adam.

It holds out the last 2,000 training images, and reports 98.70 % on them and 97.96 % on the test
images. Ours: 99.30 % and 98.50 %; about an hour on 2 quiet cores.

    python -m train.fetch mnist mnist && python -m train.main --experiment keras-mnist --data mnist
"""

KERAS_FLOWERS = Recipe(
    experiment="keras-flowers",
    net="BATCH_NORM",
    epochs=50,
    batch_size=32,
    learning_rate=1e-3,
    momentum=0,
    weight_decay=0,
    cut_epochs=(),
    stored_size=227,
)
"""A Keras notebook's net on photographs of five kinds of flowers: 50 epochs of plain SGD.

It reports a training accuracy near 1 and a validation accuracy of about 0.7. Ours: 97.38 %, with
dropout on, and 74.73 %, in two hours on 2 quiet cores.

    python -m train.main --experiment keras-flowers --data DIR
"""

FLOWERS = Recipe(
    experiment="flowers",
    net="BATCH_NORM",
    epochs=50,
    batch_size=64,
    learning_rate=5e-4,
    base_batch=8,
    warmup_epochs=2,
    cut_epochs=(35.0, 45.0),
    stored_size=256,
    flip=True,
    pca_color="original",
)
"""The same network, photographs and epochs with the paper's regularization (sections 4 and 5).

Random crops, horizontal flips, PCA color augmentation, momentum and weight decay; the network has
dropout. Ours: 79.21 % validation accuracy, 80.84 % with ten crops, in 110 minutes on 2 cores. With
an initial learning rate of 0.01 and no warm-up, the loss rises tenfold in three steps.

    python -m train.main --experiment flowers --data DIR
"""

PHOTOGRAPHS = Recipe(
    experiment="photographs",
    net="PHOTOGRAPHS",
    epochs=16,
    batch_size=32,
    learning_rate=0.004,
    base_batch=4,
    warmup_epochs=1,
    schedule="cosine",
    cut_epochs=(),
    stored_size=128,
    flip=True,
    crop_area=0.4,
    pca_color="original",
)
"""Photographs on CPUs in minutes; --data alone chooses it for them.

76.22 % test accuracy on photographs of flowers, the mean of three seeds, in 3 minutes on 2 quiet
CPU cores; 80.3 % on 441 training photographs that were held out to choose it.

    python -m train.main --data DIR
"""

EXPERIMENTS = {
    recipe.experiment: recipe
    for recipe in (
        DIGITS,
        *(PAPER, ORIGINAL, CAFFE, CUDA_CONVNET2),
        *(CIFAR_19PCT, CIFAR_18PCT, CIFAR_13PCT, CIFAR_11PCT),
        *(SCALED_MNIST, KERAS_MNIST, KERAS_FLOWERS, FLOWERS, PHOTOGRAPHS),
    )
}
"""All of them by the names that `--experiment` takes."""


def find_experiment(name: str) -> Recipe:
    """Return the experiment of that name, in any case, with - or _. Raises BadInput."""
    known = name.lower().replace("_", "-")
    if known in EXPERIMENTS:
        return EXPERIMENTS[known]
    from alexnet_jax.suggestion import did_you_mean  # takes JAX, which --help does not wait for

    hint = did_you_mean(known, EXPERIMENTS) or f"; there are {', '.join(EXPERIMENTS)}"
    raise BadInput(f"`experiment`: there is no experiment named {name}{hint}")
