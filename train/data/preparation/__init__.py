"""From pictures to shards: the work of `train.prepare`."""
