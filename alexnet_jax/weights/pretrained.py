"""Published weights by name: found in the user's cache, or fetched into it and checked."""

import os
from pathlib import Path

from alexnet_jax.weights.files import download
from alexnet_jax.weights.known_files import KnownFile, Pretrained


def cache_folder() -> Path:
    """Return the folder of fetched files.

    It is $ALEXNET_JAX_CACHE, else $XDG_CACHE_HOME/alexnet_jax, else ~/.cache/alexnet_jax. A
    relative $XDG_CACHE_HOME counts as none, as its standard has it.

    Raises:
      ValueError: none of them is known.
    """
    if chosen := os.environ.get("ALEXNET_JAX_CACHE", "").strip():
        expanded = os.path.expanduser(chosen)
        if expanded.startswith("~"):
            raise ValueError(f"ALEXNET_JAX_CACHE is {chosen}, and that user has no home folder")
        return Path(expanded).absolute()
    if folder := user_cache():
        return folder
    raise ValueError("this user has no home folder; ALEXNET_JAX_CACHE names a cache folder")


def not_kept(name: str, folder: Path, error: OSError) -> ValueError:
    """Return the error of what cannot be written into a folder of the cache."""
    return ValueError(
        f"{name} cannot be kept in {folder}: {error.strerror or error}; "
        "ALEXNET_JAX_CACHE in the environment can name another folder"
    )


def user_cache() -> Path | None:
    """Return the folder of this library in the user's cache, None for a user without a home."""
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        folder = Path(os.path.expanduser("~/.cache"))
    return folder / "alexnet_jax" if folder.is_absolute() else None


def find_or_fetch(weights: Pretrained) -> Path:
    """Return the path of a file of these weights, whose digest is the published one.

    A file that is in the cache already, fetched or put there by hand, is only checked.

    Raises:
      ValueError: a file in the cache that is another one, or damaged; a file that cannot be
        fetched, with its address and where to put it by hand; a cache that cannot be written.
    """
    folder, name = cache_folder(), weights.names[0]
    if path := _find(weights, folder):
        return path
    target = folder / weights.file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        failures = download.fetch(weights.file.addresses, target, weights.file.matches)
    except OSError as error:
        raise not_kept(name, folder, error) from None
    if failures:
        tried = " and ".join(f"{address} ({reason})" for address, reason in failures)
        raise ValueError(
            f"{name} cannot be fetched from {tried}; the file can also be put there by hand, "
            f"as {target}"
        )
    return target


def _find(weights: Pretrained, folder: Path) -> Path | None:
    """The file in the cache, None if there is none. Raises ValueError for another one."""
    for name in dict.fromkeys(file.name for file in weights.files):
        path = folder / name
        if not path.exists():
            continue
        files = [file for file in weights.files if file.name == name]
        try:
            if any(file.matches(path) for file in files):
                return path
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
        raise ValueError(f"{path} {_difference(files[0])}")
    return None


def _difference(file: KnownFile) -> str:
    return (
        f"is damaged, or another file: the {file.algorithm.upper()} of the published one begins "
        f"with {file.digest[:8]}; without it, the next call fetches the file"
    )
