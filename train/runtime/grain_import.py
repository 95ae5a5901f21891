"""Grain, imported without the warning that it gives where jaxlib is older than 0.11."""

from absl import logging

_verbosity = logging.get_verbosity()
logging.set_verbosity(logging.ERROR)
try:
    import grain as grain
finally:
    logging.set_verbosity(_verbosity)
