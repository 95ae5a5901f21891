"""The recipe of a run: the network and how it is trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .errors import BadInput
from .settings import (
    ASCENDING,
    FRACTION,
    LAYER_DECAYS,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE_OR_COUNT,
    Bound,
    check_bounds,
    setting,
)

if TYPE_CHECKING:
    from alexnet_jax import Architecture

    Net = str | Architecture
else:  # `Architecture` takes JAX, which --help does not wait for
    Net = str

_PRECISIONS = ("default", "highest", "bfloat16", "float32")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The network and how it is trained: all that the result depends on besides the data."""

    experiment: str = setting(
        "digits",
        "The experiment whose recipe the other flags start from: one of those above. With --data, "
        "and neither this flag nor --net, the pictures choose: digits if half of them have a "
        "shorter side of at most 40 pixels; otherwise photographs or, on a GPU or TPU, flowers.",
    )
    net: Net = setting(
        "DIGITS",
        "The network, by its name in alexnet_jax.architectures, or one of your own: FILE.py:NAME "
        "or module:NAME, an Architecture or a function without arguments that returns one.",
    )
    seed: int = setting(
        0,
        "The one seed; every random stream is derived from it.",
        Bound("from 0 to 4294967295", lambda n: 0 <= n < 2**32),
    )
    epochs: float = setting(
        16.0,
        "Passes over the training images.",
        Bound("above 0 and below a million", lambda x: 0 < x < 1e6),
    )
    steps: int | None = setting(None, "Stop after this many steps instead.", POSITIVE)
    until_error: float | None = setting(
        None,
        "Stop after the epoch whose mean training error (top-1, as a fraction) is at most this. "
        "--epochs is then the longest that the run goes on.",
        FRACTION,
    )
    batch_size: int = setting(64, "Images per step, over all devices.", POSITIVE)
    train_images: int | None = setting(
        None,
        "Train on this many of the training images, of all classes in proportion, drawn by the "
        "seed. --validation takes its part of them.",
        POSITIVE,
    )
    validation: float | None = setting(
        None,
        "Training images to validate on: a fraction of each class, as 0.1, or a number of images, "
        "as 2000. They choose the best checkpoint and when --schedule plateau divides the learning "
        "rate; the test images are looked at once, at the end. A part val of the data beside test "
        "is taken in their place. None: 0.1 if the data have a test part and no val. 0: none, and "
        "the test images choose.",
        SHARE_OR_COUNT,
    )
    validation_from: Literal["classes", "end"] = setting(
        "classes",
        "Which training images --validation takes: of all classes alike, drawn by the seed, or the "
        "last ones in the data.",
    )
    optimizer: Literal["sgd", "adam", "lars"] = setting(
        "sgd",
        "SGD with momentum (section 5), Adam, or LARS for large batches. LARS has learning rates "
        "of another scale: at 1, a layer's weights move by 0.001 of their norm.",
    )
    learning_rate: float = setting(
        0.01,
        "The initial learning rate of the weights.",
        Bound("a number above 0", POSITIVE.holds),
    )
    base_batch: int | None = setting(
        None,
        "The batch size that the learning rates are meant for: they are multiplied by "
        "--batch-size / --base-batch.",
        POSITIVE,
    )
    warmup_epochs: float = setting(
        0.0,
        "With --base-batch: the learning rates rise linearly over these epochs, from the rates as "
        "given to the multiplied ones.",
        NOT_NEGATIVE,
    )
    schedule: Literal["cuts", "plateau", "original", "dexp", "cosine"] = setting(
        "cuts",
        "The learning rate schedule. cuts: divide by ten after each of --cut-epochs. plateau, the "
        "paper's: divide by ten when the validation error stops improving, at most three times. "
        "original: the rates and epochs of the original program's net 145. dexp: those of "
        "cuda-convnet2. cosine: fall along half a cosine, to 0 at the end of --epochs.",
    )
    cut_epochs: tuple[float, ...] = setting(
        (10.0, 14.0), "For the schedule cuts: when to divide the learning rate.", ASCENDING
    )
    patience: int = setting(
        5,
        "For the schedule plateau: epochs without a lower validation error before a step.",
        POSITIVE,
    )
    bias_rate: float = setting(
        1.0,
        "For the schedules cuts, plateau and cosine: the learning rate of biases, as a multiple of "
        "the weights'.",
        NOT_NEGATIVE,
    )
    momentum: float = setting(
        0.9,
        "The momentum of SGD and LARS; Adam's beta_1.",
        Bound("at least 0 and below 1", lambda x: 0 <= x < 1),
    )
    weight_decay: float = setting(
        5e-4, "The L2 penalty: this times the weight is added to its gradient.", NOT_NEGATIVE
    )
    layer_weight_decay: tuple[str, ...] = setting(
        (),
        "The weight decay of these layers, in place of --weight-decay: conv1=0 fc10=3.",
        LAYER_DECAYS,
    )
    decay_biases: bool = setting(
        True,
        "Decay biases too: the paper's formula does, the original program did not.",
    )
    stored_size: int | None = setting(
        None,
        "Resize images to this many pixels square, out of which the network's input is cropped. "
        "By default 8/7 of that input, as the paper's 256 for 224, and at most what records hold.",
        POSITIVE,
    )
    resize: Literal["auto", "crop", "squash", "central-square"] = setting(
        "auto",
        "How a picture is brought to the stored size. crop: resize the shorter side and crop the "
        "center; squash: resize both sides, as Caffe did; central-square: crop first, as runs and "
        "records did until November 2026. auto: as records were made, otherwise crop.",
    )
    precision: Literal["default", "highest", "bfloat16", "float32"] = setting(
        "default",
        "What the products of a step are made in. default: JAX's setting, which is float32 on a "
        "CPU, TF32 on GPUs from Ampere on, one bfloat16 pass on a TPU. highest: float32 on every "
        "device. bfloat16: forward and backward passes on numbers of that type, for TPUs and GPUs "
        "from Ampere on. Parameters, velocity and sums are float32; evaluation is always at "
        "highest. float32 is a former name of default.",
        Bound("default, highest or bfloat16", _PRECISIONS.__contains__),
    )
    init: Path | None = setting(
        None,
        "Start from the parameters of this run folder or file of weights, or of published weights "
        "by name, such as caffe. The output layer is drawn anew if the data have another number of "
        "classes.",
    )
    freeze: str | None = setting(None, "Layers whose parameters stay fixed, by name: conv1,conv2.")
    flip: bool = setting(False, "Flip half of the training images horizontally.")
    mean: Literal["image", "channel"] = setting(
        "image",
        "What is subtracted from each image: the mean training image, as in the paper, or one mean "
        "for each of red, green and blue.",
    )
    crops_together: int = setting(
        1,
        "This many consecutive images share one random crop and flip: 32 in the original program. "
        "PCA color augmentation differs for each image.",
        POSITIVE,
    )
    train_crops: Literal["random", "center"] = setting(
        "random",
        "Which crops of the stored images are trained on: random ones, as in the paper, or the "
        "center, as at test time.",
    )
    crop_area: float | None = setting(
        None,
        "Random crops take from this part of the stored image's area up to all of it, in aspect "
        "ratios from 3/4 to 4/3, and are resized to the network's input. None: they have its size, "
        "as in the paper.",
        Bound("above 0 and at most 1", lambda x: 0 < x <= 1),
    )
    pca_color: Literal["none", "paper", "original"] = setting(
        "none",
        "PCA color augmentation (section 4.1): by the paper's formula on pixels from 0 to 1, or as "
        "the original program did, about twice as strong.",
    )
    pca_color_until: float | None = setting(
        None, "The epoch after which PCA color augmentation ends.", POSITIVE
    )

    def __post_init__(self) -> None:
        """Check the values. Raises BadInput."""
        check_bounds(self)
        if isinstance(self.net, str) and not {".", ":"} & {*self.net}:  # a network of the library
            object.__setattr__(self, "net", self.net.upper().replace("-", "_"))
        if self.precision == "float32":
            object.__setattr__(self, "precision", "default")
        if self.train_crops == "center" and self.crop_area is not None:
            raise BadInput("`crop_area` is for random crops, and `train_crops` is center")
        if self.warmup_epochs and self.base_batch is None:
            raise BadInput("`warmup_epochs` needs `base_batch`, whose rate it starts from")
