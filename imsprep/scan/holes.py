"""Holes: where they are taken for zeros without being read.

A hole is a range for which the file system stores nothing. Some file systems are known to report
them rightly; elsewhere, where data may still be in another machine's memory, they are read.
"""

from __future__ import annotations

from imsprep.image.file import RawImage
from imsprep.system.mounts import TRUSTED, file_system

TRUST, VERIFY, AUTO = "trust", "verify", "auto"
HOLES = (TRUST, VERIFY, AUTO)


def believes_holes(image: RawImage, holes: str) -> bool:
    """Return whether the image's holes are taken for zeros."""
    return holes == TRUST or (holes == AUTO and knows_holes(image))


def knows_holes(image: RawImage) -> bool:
    """Return whether the image lies where holes are reported rightly."""
    return image.is_device or file_system(image.fileno()) in TRUSTED
