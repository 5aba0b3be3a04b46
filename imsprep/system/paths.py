"""Paths as callers give them: text or anything that stands for a path."""

from __future__ import annotations

import os
from pathlib import Path

from imsprep.errors import UsageError


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return a path; UsageError for an empty one, which would mean the current folder.

    From Python anything can come: UsageError too for what is no path.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise UsageError(f"{path!r} is no path; expected text or os.PathLike")
    if not os.fspath(path):
        raise UsageError("the name of a file is empty; is a variable unset?")
    return Path(path)


def optional_path(path: str | os.PathLike[str] | None) -> Path | None:
    """Return a path if there is one."""
    return None if path is None else path_of(path)
