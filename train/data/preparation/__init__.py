"""Pictures to shards: `train.prepare`."""
