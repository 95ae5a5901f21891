"""What a run would take, measured without running it: `--plan`."""
