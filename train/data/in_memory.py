"""A source that keeps its decoded images, so that each file is decoded once in a run."""

import dataclasses

from .examples import DataSet, Example, LabeledName, Source, WrappedSource, labeled_names

MAX_BYTES = 2**30
"""Of all images of a data set together. Larger ones are decoded again in every epoch."""


class InMemory(WrappedSource):
    """A source that keeps each example once it was read; reading it again decodes nothing."""

    def __init__(self, source: Source) -> None:
        """Wrap a source that returns the same example at every call."""
        super().__init__(source)
        self._examples: dict[int, Example] = {}

    def __getitem__(self, index: int) -> Example:
        """Return an example. What the source raises is not kept: it raises it again."""
        example = self._examples.get(index)
        if example is None:
            example = self._examples[index] = self.source[index]
        return example

    def labeled_names(self) -> list[LabeledName]:
        """Return the name and the label of each example."""
        return labeled_names(self.source)


def keep_in_memory(data: DataSet, size: int) -> DataSet:
    """Return the data with all parts kept in memory, if their images of `size` pixels fit."""
    parts = {"train": data.train, "test": data.test}
    if data.val is not None:
        parts["val"] = data.val
    sources = {id(source): source for source in parts.values()}  # val may be test itself
    if sum(map(len, sources.values())) * 3 * size**2 > MAX_BYTES:
        return data
    kept = {key: InMemory(source) for key, source in sources.items()}
    return dataclasses.replace(data, **{name: kept[id(one)] for name, one in parts.items()})
