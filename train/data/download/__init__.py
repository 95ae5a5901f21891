"""Published data sets and where they can be downloaded: the work of `train.fetch`."""
