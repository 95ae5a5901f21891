"""Small folders of pictures."""

from PIL import Image

CLASSES = ("cat", "dog")


def write_classes(root, count=3, classes=CLASSES):
    """Write `count` pictures of each class, in folders of `root`; the red of a class is its own."""
    for label, name in enumerate(classes):
        write_pictures(root / name, count, 40 * label)


def write_pictures(folder, count=3, red=0):
    """Write `count` pictures, 0.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (12, 12), (red, i, 0)).save(folder / f"{i}.png")
