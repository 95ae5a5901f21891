"""Links in the folder of a run, which may come from somebody else."""

import os
import stat
from pathlib import Path

from ..config.errors import BadInput, list_some
from .open_folder import FOLDERS, WRITTEN


def refuse_links(run_dir: Path) -> None:
    """Raise BadInput if the writes of a run in this folder could end up elsewhere.

    Refused are symbolic links that lead out of the folder, or that are named as something that a
    run writes; what is neither file nor folder, such as a pipe, whose readers would wait; and a
    file where a run needs a folder, or the reverse.
    """
    inside, refused = run_dir.resolve(), []
    for folder, folders, files in os.walk(run_dir):
        for path in (Path(folder, name) for name in (*folders, *files)):
            name, mode = path.relative_to(run_dir).as_posix(), path.lstat().st_mode
            if stat.S_ISLNK(mode):
                if name in WRITTEN or not path.resolve().is_relative_to(inside):
                    refused.append(f"{name} -> {os.readlink(path)}")
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                refused.append(f"{name}, neither file nor folder")
            elif name in WRITTEN and stat.S_ISDIR(mode) != (name in FOLDERS):
                right, wrong = ("folder", "file") if name in FOLDERS else ("file", "folder")
                raise BadInput(f"{path} should be a {right}, and is a {wrong}")
    if refused:
        raise BadInput(
            f"`run_dir` {run_dir} holds links, through which a run would write elsewhere: "
            f"{list_some(sorted(refused), 3)}"
        )
