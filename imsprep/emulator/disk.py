"""Read what was uploaded, as the service has to, and make the disk of it.

What an object is, its content says: ZVHD2 by its cookie, RAW otherwise, and any other disk format
that is recognised is refused. A RAW object needs its bitmap beside it: `disk.raw`, `disk.mf`. The
disk is then made of the blocks that the bitmap marks as data, the rest is zeros; a block that the
bitmap calls empty and that is not would be lost on the real service, and fails the job here.

A bitmap is read here in the default layout, in lines of its own and not by `bitmapfile`, so that
one is a test of the other.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from imsprep import atomic, formats
from imsprep.emulator.validate import Refused
from imsprep.errors import ServiceError, TransferError
from imsprep.store import ObjectFacts
from imsprep.units import MIB, TIB, ceil_div

BITMAP_BLOCK = 2 * MIB  # bytes; docs/bitmap-file.md
READ_SIZE = 8 * MIB  # bytes of one read from the store; a multiple of the block
MAX_SIZE = TIB  # "the size of an image file cannot exceed 1 TB", API reference, 2024-08-09


class Objects(Protocol):
    """What is needed of a bucket: a part of `store.ObjectStore`."""

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None."""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object."""


class Source(NamedTuple):
    """An object that was accepted for import."""

    objects: Objects
    key: str
    size: int  # bytes
    format: str  # raw or zvhd2


class Disk(NamedTuple):
    """The disk that an import made."""

    path: Path
    size: int  # bytes, the virtual size
    sha256: str


def accept(objects: Objects | None, key: str) -> Source:
    """Look at an object before a job begins; raise Refused with the documented code."""
    if objects is None:
        raise Refused("IMG.0069")
    try:
        return _accept(objects, key)
    except TransferError as error:
        raise Refused("IMG.0061", str(error), status=500) from error
    except ServiceError as error:
        raise Refused("IMG.0069", str(error)) from error


def _accept(objects: Objects, key: str) -> Source:
    found = objects.head(key)
    if found is None or found.size == 0:
        raise Refused("IMG.0057")
    if found.storage_class != "STANDARD":
        # No document gives a code for it.
        raise Refused("IMG.0057", f"The storage class is {found.storage_class}, not Standard.")
    if found.size > MAX_SIZE:
        raise Refused("IMG.0059")
    head = objects.read(key, 0, min(found.size, formats.HEAD_SIZE))
    tail_size = min(found.size, formats.TAIL_SIZE)
    tail = objects.read(key, found.size - tail_size, tail_size)
    kind = formats.primary(formats.identify(head, tail, found.size))
    if kind not in (formats.RAW, formats.ZVHD2):
        raise Refused("IMG.0158", f"The file is {kind}.")
    if kind == "raw" and objects.head(bitmap_key(key)) is None:
        raise Refused("IMG.0158", f"There is no {bitmap_key(key)}.")
    return Source(objects, key, found.size, kind)


def bitmap_key(key: str) -> str:
    """Return the key of the bitmap of a RAW object: the same folder and base name."""
    return str(PurePosixPath(key).with_suffix(".mf"))


def virtual_size(source: Source) -> int:
    """Return the size in bytes of the disk in an object; raise Refused if it is no whole disk."""
    if source.format == "raw":
        if source.size % 512:
            raise Refused("IMG.0057", f"{source.size} bytes are no whole number of sectors.")
        return source.size
    raise Refused("IMG.0072", "ZVHD2 is not read yet.")


class Stopped(Exception):  # noqa: N818 - an order that was followed
    """The emulator is ending; the disk was not finished."""


def materialise(source: Source, path: Path, stopping: Callable[[], bool]) -> Disk:
    """Write the disk of an object to `path`, sparse, and return it with its SHA-256.

    Raises Stopped, leaving no file, as soon as `stopping` says so.
    """
    size = virtual_size(source)
    digest = sha256()
    zeros = bytes(READ_SIZE)
    with atomic.writing(path) as file:
        file.truncate(size)
        for offset, length, data in _pieces(source, size):
            if stopping():
                raise Stopped
            if data is None:
                digest.update(memoryview(zeros)[:length])
            else:
                digest.update(data)
                file.seek(offset)
                file.write(data)
    return Disk(path, size, digest.hexdigest())


def _pieces(source: Source, size: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Yield (offset, length, bytes) over the whole disk in order; None stands for zeros."""
    empty = _raw_blocks_marked_empty(source, size)
    zeros = bytes(BITMAP_BLOCK)
    for offset in range(0, size, READ_SIZE):
        length = min(READ_SIZE, size - offset)
        data = source.objects.read(source.key, offset, length)
        if len(data) != length:
            raise Refused("IMG.0057", f"The object ends at {offset + len(data)} of {size}.")
        first = offset // BITMAP_BLOCK
        for block in range(first, first + ceil_div(length, BITMAP_BLOCK)):
            start = block * BITMAP_BLOCK - offset
            piece = data[start : start + BITMAP_BLOCK]
            if not empty[block]:
                yield offset + start, len(piece), piece
                continue
            if piece != zeros[: len(piece)]:
                raise Refused(
                    "IMG.0158", f"The bitmap calls block {block} empty, and it holds data."
                )
            yield offset + start, len(piece), None


def _raw_blocks_marked_empty(source: Source, size: int) -> list[bool]:
    """Read the bitmap: one bit per 2 MiB, least significant first, 1 = data."""
    key = bitmap_key(source.key)
    blocks = ceil_div(size, BITMAP_BLOCK)
    expected = ceil_div(blocks, 8)
    found = source.objects.head(key)
    if found is None or found.size != expected:
        got = "none" if found is None else f"{found.size} bytes"
        raise Refused("IMG.0158", f"The bitmap has to be {expected} bytes, there is {got}.")
    packed = source.objects.read(key, 0, expected)
    if blocks % 8 and packed[-1] >> blocks % 8:
        raise Refused("IMG.0158", "The bitmap marks blocks beyond the end of the disk.")
    return [not packed[block // 8] >> block % 8 & 1 for block in range(blocks)]


class ObjectFile(io.RawIOBase):
    """An object as a seekable file, read-only; every read asks the store."""

    def __init__(self, source: Source) -> None:
        self._source, self._position = source, 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be sought in."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset, in bytes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def tell(self) -> int:
        """Return the offset, in bytes."""
        return self._position

    def readinto(self, buffer: object) -> int:
        """Fill the buffer as far as the object goes."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        length = max(0, min(len(view), self._source.size - self._position))
        data = (
            self._source.objects.read(self._source.key, self._position, length) if length else b""
        )
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
