"""The configuration of a run, its experiments and its flags."""
