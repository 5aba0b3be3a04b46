"""The machine: what imsprep needs here, what it keeps next to an image, and the disk of a demo."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imsprep.options import ServiceOptions, StrPath
from imsprep.system.paths import path_of

if TYPE_CHECKING:
    from imsprep.pipeline.machine import Item


def look_at_machine(
    folder: StrPath, services: ServiceOptions | None, log: Callable[[str], object]
) -> list[Item]:
    """Look for each thing that imsprep may need here; `services` are connected to.

    Raises nothing for what is not as it should be. `log` is called with what takes seconds.
    """
    from imsprep.pipeline.machine import look

    return look(path_of(folder), services, log)


def kept_files(image: StrPath) -> list[Path]:
    """Return where imsprep keeps files of an image, next to it; none of them has to be there."""
    from imsprep.pipeline.kept_files import kept_files

    return kept_files(path_of(image))


def hide_keys(text: str) -> str:
    """Return a text with `***` for each key that is in use here."""
    from imsprep.cloud.credentials import hide_own

    return hide_own(text)


def claimed_demo(folder: StrPath) -> contextlib.AbstractContextManager[None]:
    """Hold the folder of a demo while the block runs.

    Raises UsageError if another run holds it or it holds what is not the demo's, ReadError if the
    folder cannot be made.
    """
    from imsprep.pipeline.demo_disk import claimed

    return claimed(path_of(folder))


def make_demo_disk(path: StrPath) -> bool:
    """Make the disk of a demo unless it is there; return whether it was made.

    Raises MissingExtraError without mkfs.ext4, UsageError if another file is there, ReadError.
    """
    from imsprep.pipeline.demo_disk import ensure_disk

    return ensure_disk(path_of(path))
