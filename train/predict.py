"""What a trained net sees in pictures: `python -m train.predict RUN image.png ...`."""

from pathlib import Path

from train.command import command, parser


def main(argv: list[str] | None = None) -> None:
    """Print the five likeliest classes of each picture, with their probabilities."""
    flags = parser("train.predict", __doc__)
    flags.add_argument("run", type=Path, help="the folder of the run")
    flags.add_argument("images", type=Path, nargs="+", help="pictures, of any kind Pillow opens")
    arguments = flags.parse_args(argv)

    from train import platform

    platform.prepare(1)
    platform.keep_compilations()
    import jax
    import numpy as np

    from train.data.pictures import read_picture
    from train.trained import open_trained

    trained = open_trained(arguments.run)
    score = trained.scorer()
    for path in arguments.images:
        picture = read_picture(path, trained.stored_size)
        row = np.asarray(jax.nn.softmax(score(picture[None])[0, 0]))
        print(path)
        for label in np.argsort(-row, kind="stable")[:5]:
            print(f"  {100 * row[label]:6.2f} %  {trained.class_names[label]}")


if __name__ == "__main__":
    command(main)
