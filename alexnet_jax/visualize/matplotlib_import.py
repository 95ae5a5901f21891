"""The first import of Matplotlib, which figures in files need without a backend or a home."""

import contextlib
import logging
import os
import sys


def import_matplotlib() -> None:
    """Import Matplotlib, whatever MPLBACKEND names and whether or not a home can be written.

    A notebook names its own backend in the environment of every process that it starts, where it
    may not be installed; Matplotlib then refuses to be imported. A backend that is there is set.

    Raises ValueError where Matplotlib is not installed, as beside the library alone.
    """
    if sys.modules.get("matplotlib"):
        return
    logger = logging.getLogger("matplotlib")
    level, backend = logger.level, os.environ.pop("MPLBACKEND", None)
    # It warns that a temporary folder has to do for its settings and its list of fonts.
    logger.setLevel(logging.ERROR)
    try:
        import matplotlib.figure
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ValueError("a drawing needs the package matplotlib: pip install matplotlib") from None
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
