"""Source: the disk in an image, whatever the image's format; what all who read images open.

RAW is the disk itself. A ZVHD2 is unpacked block by block, and what QEMU reads comes from qemu-nbd;
see `convert.SOURCES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from imsprep.image import formats
from imsprep.image.disk import Disk
from imsprep.image.file import RawImage
from imsprep.zvhd2.convert import format_of, open_disk
from imsprep.zvhd2.examine import examine
from imsprep.zvhd2.reader import PackedDisk, Zvhd2Reader


@contextmanager
def open_source(image: RawImage, format_: str | None = None, *, jobs: int = 1) -> Iterator[Disk]:
    """Open the disk in an open image, for `jobs` threads; None: the format that its content says.

    Raises UsageError for what is not a disk image, FormatError for one that is damaged or not
    whole by itself, MissingExtraError without qemu-nbd where it takes that, ReadError.
    """
    format_ = format_ or format_of(image)
    if format_ == formats.ZVHD2:
        container = examine(image.pread, image.size).container_or_raise()
        with Zvhd2Reader(container, image.pread) as reader:
            yield PackedDisk(image, reader, jobs=1)
        return
    with open_disk(image, format_, jobs=jobs) as disk:
        yield disk


def pread(disk: Disk, offset: int, length: int) -> bytes:
    """Return a range of a disk; less of it where the disk ends, nothing behind its end."""
    if not 0 <= offset < disk.size:
        return b""
    buffer = bytearray(min(length, disk.size - offset))
    disk.pread_into(offset, memoryview(buffer))
    return bytes(buffer)
