"""The original program's examples for CIFAR-10, each named by its published test error.

Their numbers are those of `example-layers/layer-params-NAME.cfg` of cuda-convnet; epochs that no
file states are in its wiki's page Methodology. There, as here, a step decays a weight by learning
rate x weight decay x weight, the batch has 128 images, and pixels are from 0 to 255.

All 50,000 images are trained on, as in the last phase of that page. So the test images show the
error of each epoch, and nothing but the best checkpoint is chosen by them; `--validation 10000
--validation-from end` holds out the fifth batch, as its first phase does.
"""

import dataclasses

from .recipe import Recipe

CIFAR_19PCT = Recipe(
    experiment="cifar-19pct",
    net="CIFAR_19PCT",
    epochs=140,
    batch_size=128,
    validation=0,
    learning_rate=0.001,
    bias_rate=2,
    weight_decay=0.004,
    layer_weight_decay=("fc10=3",),
    decay_biases=False,
    cut_epochs=(120.0, 130.0),
    stored_size=32,
)
"""The four-layer network without normalization, on whole images: layer-params-19pct.cfg.

The file states no epochs; these are those of `cifar-18pct`. It reports 19 % test error after 20
minutes on a GPU. Not run here.

    python -m train.main --experiment cifar-19pct --data DIR
"""

CIFAR_18PCT = dataclasses.replace(
    CIFAR_19PCT,
    experiment="cifar-18pct",
    net="CIFAR_18PCT",
    layer_weight_decay=("fc10=1",),
)
"""The same with two normalizations, and less weight decay in fc10: layer-params-18pct.cfg.

The learning rates fall after 120 epochs and after 10 more. The file states no end; Caffe's
cifar10_full, made after it, ends after another 10. It reports 18 % test error after 20 minutes, on
a GPU. Not run here.

    python -m train.main --experiment cifar-18pct --data DIR
"""

CIFAR_13PCT = Recipe(
    experiment="cifar-13pct",
    net="CIFAR_13PCT",
    epochs=160,
    batch_size=128,
    validation=0,
    learning_rate=0.001,
    bias_rate=2,
    weight_decay=0.004,
    layer_weight_decay=("conv1=0", "conv2=0"),
    decay_biases=False,
    cut_epochs=(140.0, 150.0),
    stored_size=32,
    flip=True,
)
"""Random crops and flips, two locally connected layers: layer-params-conv-local-13pct.cfg.

The source trained on four of five batches for 100 epochs, on all for 40, and for 10 at each of two
lower learning rates. It reports 13 % test error with ten crops, after 25 minutes on a GPU;
the paper quotes it (section 3.3). Not run here.

    python -m train.main --experiment cifar-13pct --data DIR --run-dir RUN
    python -m train.evaluate RUN --crops 10
"""

CIFAR_11PCT = dataclasses.replace(
    CIFAR_13PCT,
    experiment="cifar-11pct",
    net="CIFAR_11PCT",
    epochs=520,
    layer_weight_decay=("conv1=0", "conv2=0", "fc10=0.01"),
    cut_epochs=(500.0, 510.0),
)
"""The same with response normalization: layer-params-conv-local-11pct.cfg.

The source trained on four of five batches for 350 epochs, on all for 150, and for 10 at each of two
lower learning rates. It reports 11 % test error with ten crops, after 75 minutes on a GPU;
the paper quotes it (section 3.3). Not run here.

    python -m train.main --experiment cifar-11pct --data DIR --run-dir RUN
    python -m train.evaluate RUN --crops 10
"""
