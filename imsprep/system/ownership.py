"""Ownership: whether a file may be written, or is not imsprep's own.

Each file that imsprep writes has a path that comes from a name. What lies there already may be the
image itself under another name, a device, another program's file, or what imsprep made of another
image of the same stem. Nothing of that is replaced. The callers know what makes a file theirs (a
sidecar, an id in a footer); the questions and their error messages are here.

A `what` is the thing that is written, as "the bitmap"; an `advice` ends the message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from imsprep.errors import UsageError, show_path


class Advice(NamedTuple):
    """What to do instead: the end of the message, and the error's `remedies`."""

    text: str
    remedies: tuple[str, ...] = ()


def same_file(first: Path, second: Path) -> bool:
    """Return whether two names are one file, through links too; neither has to exist."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return os.path.realpath(first) == os.path.realpath(second)


def first_same(place: Path, files: Iterable[Path]) -> Path | None:
    """Return the first of some files that a place is, or None."""
    return next((file for file in files if same_file(place, file)), None)


def check_apart(path: Path, image: Path, *, what: str, advice: Advice) -> None:
    """Raise UsageError if writing `path` would replace the image, or what is no regular file."""
    if not path.exists():
        return
    itself = same_file(path, image)
    if itself or not path.is_file():
        found = "the image itself" if itself else "not a regular file"
        raise UsageError(
            f"{what} would be written to {show_path(path)}, which is {found}; {advice.text}",
            remedies=advice.remedies,
        )


def check_owner(path: Path, image: Path, owner: str, *, what: str, advice: Advice) -> None:
    """Raise UsageError if `path` was made of another image of its folder, which is still there.

    `owner` is the file name that its record gives, in the image's folder.
    """
    other = image.with_name(owner)
    if owner != image.name and other.exists():
        raise served_by_both(path, other, what=what, advice=advice)


def served_by_both(path: Path, other: Path, *, what: str, advice: Advice) -> UsageError:
    """Return the refusal of a file that belongs to another image."""
    return UsageError(
        f"{show_path(path)} is {what} of {show_path(other)}, and both have the same name;"
        f" {advice.text}",
        remedies=advice.remedies,
    )


def check_lasting(path: Path) -> None:
    """Raise UsageError for an image in /dev, where no sidecar survives the next boot."""
    folder = os.path.realpath(path.parent)
    if f"{folder}/".startswith("/dev/") and not f"{folder}/".startswith("/dev/shm/"):
        raise UsageError(
            f"{show_path(path)} is in {folder}, where no sidecar can be kept; make a link to it in"
            f" another folder and name the link: ln -s {show_path(path)} disk.raw"
        )
