"""RawImage: a disk image on this machine, open for reading, and its identity.

The *identity* is what tells that a file is still the one we looked at: device, inode, size,
modification and change time. It is compared before and after everything that reads the image.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple


class Identity(NamedTuple):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, file: int | str | os.PathLike[str]) -> Identity:
        """Return the identity of an open file descriptor or a path; raises OSError."""
        stat = os.stat(file)
        return cls(stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return self._asdict()
