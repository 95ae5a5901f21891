"""Data sets that can be fetched: their files, with checksums.

FILES has the data sets of four IDX files, ARCHIVES the data sets published as one archive.
"""

from dataclasses import dataclass

from ..formats import idx
from .archives import Archive


@dataclass(frozen=True)
class CatalogFile:
    """An IDX file of a data set, and its published checksums."""

    split: str
    content: str
    md5: str  # of the .gz, as published
    sha256: str  # of the IDX file in it

    @property
    def name(self) -> str:
        """The file name, without .gz."""
        return idx.file_name(self.split, self.content)


FILES = {
    "mnist": (
        CatalogFile(
            "train",
            "images",
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        CatalogFile(
            "train",
            "labels",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        CatalogFile(
            "test",
            "images",
            "9fb629c4189551a2d022fa330f9573f3",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        CatalogFile(
            "test",
            "labels",
            "ec29112dd5afa0611ce80d1b7f02629c",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion-mnist": (
        CatalogFile(
            "train",
            "images",
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        CatalogFile(
            "train",
            "labels",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        CatalogFile(
            "test",
            "images",
            "bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        CatalogFile(
            "test",
            "labels",
            "bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
}

ARCHIVES = {
    "cifar10": Archive(
        folder="cifar-10-batches-bin",
        addresses=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        size=None,
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        counts=((".bin", 6),),
    ),
    "cifar100": Archive(
        folder="cifar-100-binary",
        addresses=("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
        size=None,
        md5="03b5dce01913d631647c71ecec9e9cb8",
        counts=((".bin", 2),),
    ),
    "flowers": Archive(
        folder="flower_photos",
        addresses=(
            "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
        ),
        size=228_813_984,
        md5=None,
        counts=((".jpg", 3_670),),
    ),
    "imagenette": Archive(
        folder="imagenette2-160",
        addresses=("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz",),
        size=None,
        md5="e793b78cc4c9e9a4ccc0c1155377a412",
        counts=((".JPEG", 13_394),),
    ),
}
