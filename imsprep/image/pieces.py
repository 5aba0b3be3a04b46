"""Pieces: the files in which the disk of an image lies besides the one that is named.

A descriptor of VMDK is a small text that names them, and stays as it is when they are written to.
"""

from __future__ import annotations

import os
from pathlib import Path

from imsprep.system.regular import READING
from imsprep.units import MIB

_HEAD = 64  # bytes in which a descriptor begins, also behind blanks


def pieces_of(path: Path) -> list[Path]:
    """Return the files in which the disk of an image lies besides `path`, as far as it names them.

    Nothing of them is opened, and an image that cannot be read names none.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            head = file.read(_HEAD)
            if not head.lstrip().startswith(b"#"):
                return []
            text = head + file.read(MIB - len(head))
    except OSError:
        return []
    # With numpy, which most files do without.
    from imsprep.image.tables import descriptor
    from imsprep.image.tables.survey import SurveyError

    try:
        described = descriptor.parse(text)
    except SurveyError:
        return []
    names = (extent.name for extent in described.extents)
    return [path.parent / name for name in dict.fromkeys(names) if name]


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, READING)
