"""The parts of the check, one module each: `run(check)` keeps figures as it gets them."""
