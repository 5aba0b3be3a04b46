"""The disk inside an image: what every source of a conversion looks like, whatever its format.

A `Disk` has a size, extents that tell data from zeros, and reads that several threads may make.
`file.RawImage` is one as it stands; `zvhd2.reader.PackedDisk` is the disk in a ZVHD2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

# Offset and length in bytes, and whether it is data; `blockmap.Extent` counts blocks.
ByteExtent = tuple[int, int, bool]


class Disk(Protocol):
    """What is converted. Reading must be safe from several threads."""

    path: Path
    size: int  # bytes

    def extents(self) -> Iterator[ByteExtent]:
        """Yield what is data and what reads as zeros, in order; together they are the disk."""

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with what lies at `offset`."""

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the disk is not what it was when it was opened."""
