"""The disk inside an image: what every source of a conversion looks like, whatever its format.

A `Disk` has a size, extents that tell data from zeros, and reads that several threads may make.
`RawImage` is one as it stands; `PackedDisk` is the disk in a ZVHD2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from imsprep.container import Zvhd2Reader
from imsprep.image import RawImage

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


class PackedDisk:
    """The disk that was packed into a ZVHD2, without the zeros behind its end."""

    def __init__(self, image: RawImage, reader: Zvhd2Reader) -> None:
        self.path, self.size = image.path, reader.container.original_size
        self._image, self._reader = image, reader

    def extents(self) -> Iterator[ByteExtent]:
        """Yield the stored blocks as data."""
        block_map = self._reader.block_map
        for extent in block_map.extents():
            yield *block_map.byte_range(extent.start, extent.count), extent.allocated

    def pread_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer; each block that it touches is unpacked for it."""
        size = self._reader.container.block_size
        while buffer:
            block, start = divmod(offset, size)
            piece = memoryview(self._reader.read_block(block))[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            buffer, offset = buffer[len(piece) :], offset + len(piece)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the container's file changed."""
        self._image.check_unchanged()
