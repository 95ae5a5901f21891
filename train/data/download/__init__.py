"""Published data sets and where to download them: `train.fetch`."""
