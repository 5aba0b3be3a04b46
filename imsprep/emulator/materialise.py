"""Read what was uploaded, as the service has to, and make the disk of it.

What an object is, its content says: ZVHD2 by its cookie, RAW otherwise, and any other disk format
that is recognised is refused. A RAW object needs its bitmap beside it: `disk.raw`, `disk.mf`. The
disk is then made of the blocks that the bitmap marks as data, the rest is zeros; a block that the
bitmap calls empty and that is not would be lost on the real service, and fails the job here.

The disk of a ZVHD2 object has the size that the published driver reports: that of the image which
was packed, rounded up to a whole GiB with zeros. What the service makes is not documented. A disk
therefore carries two digests, its own and that of the image it was packed from; of a RAW object
they are the same.

A bitmap in the default layout is read here in lines of its own and not by `bitmapfile`, so that one
is a test of the other; another layout has to be told to the emulator.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from imsprep.bitmap import codec
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.emulator.validate import RefusedError
from imsprep.errors import FormatError, ServiceError, TransferError
from imsprep.image import formats
from imsprep.store.contract import STANDARD, ObjectFacts
from imsprep.system import atomic
from imsprep.units import MIB, TIB, ceil_div
from imsprep.zvhd2.reader import Zvhd2Reader, examine

BITMAP_BLOCK = 2 * MIB  # bytes; docs/bitmap-file.md
READ_SIZE = 8 * MIB  # bytes of one read from the store
MAX_BITMAP = 512 * MIB  # bytes
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
    layout: BitmapLayout | None = None  # of a RAW object's bitmap; None: the default


class Disk(NamedTuple):
    """The disk that an import made."""

    path: Path
    size: int  # bytes, the virtual size
    sha256: str
    original_size: int  # bytes, of the image that was packed
    original_sha256: str


def accept(objects: Objects | None, key: str, layout: BitmapLayout | None = None) -> Source:
    """Look at an object before a job begins; raise RefusedError with the documented code."""
    if objects is None:
        raise RefusedError("IMG.0069")
    try:
        return _accept(objects, key)._replace(layout=layout)
    except TransferError as error:
        raise RefusedError("IMG.0061", str(error), status=500) from error
    except ServiceError as error:
        raise RefusedError("IMG.0069", str(error)) from error


def _accept(objects: Objects, key: str) -> Source:
    found = objects.head(key)
    if found is None or found.size == 0:
        raise RefusedError("IMG.0057")
    if found.storage_class != STANDARD:
        # No document gives a code for it.
        raise RefusedError("IMG.0057", f"The storage class is {found.storage_class}, not Standard.")
    if found.size > MAX_SIZE:
        raise RefusedError("IMG.0059")
    head, tail = formats.ends(partial(objects.read, key), found.size)
    kind = formats.primary(formats.identify(head, tail, found.size))
    if kind not in (formats.RAW, formats.ZVHD2):
        raise RefusedError("IMG.0158", f"The file is {kind}.")
    if kind == formats.RAW and objects.head(bitmap_key(key)) is None:
        raise RefusedError("IMG.0158", f"There is no {bitmap_key(key)}.")
    return Source(objects, key, found.size, kind)


def bitmap_key(key: str) -> str:
    """Return the key of the bitmap of a RAW object: the same folder and base name."""
    return str(PurePosixPath(key).with_suffix(".mf"))


def virtual_size(source: Source) -> int:
    """Return the size in bytes of the disk in an object; RefusedError if it is no whole disk."""
    if source.format == formats.RAW:
        if source.size % 512:
            raise RefusedError("IMG.0057", f"{source.size} bytes are no whole number of sectors.")
        return source.size
    return _open_container(source).size


class StoppedError(Exception):
    """The emulator is ending; the disk was not finished."""


def materialise(source: Source, path: Path, stopping: Callable[[], bool]) -> Disk:
    """Write the disk of an object to `path`, sparse, and return it with its SHA-256.

    Raises StoppedError, leaving no file, as soon as `stopping` says so.
    """
    pieces, size, original_size = _content(source)
    digest = original = sha256()
    zeros = bytes(READ_SIZE)
    with atomic.writing(path) as file:
        file.truncate(size)
        for offset, length, data in pieces:
            if stopping():
                raise StoppedError
            if offset == original_size:
                original = digest.copy()
            if data is None:
                digest.update(memoryview(zeros)[:length])
            else:
                digest.update(data)
                file.seek(offset)
                file.write(data)
    if original_size == size:
        original = digest
    return Disk(path, size, digest.hexdigest(), original_size, original.hexdigest())


Piece = tuple[int, int, bytes | None]  # offset, length, bytes; None stands for zeros


def _content(source: Source) -> tuple[Iterator[Piece], int, int]:
    """Return the pieces of the disk in order, its size, and that of the image it was made of."""
    if source.format == formats.RAW:
        size = virtual_size(source)
        return _pieces(source, size), size, size
    reader = _open_container(source)
    return _unpacked(reader), reader.size, reader.container.original_size


def _open_container(source: Source) -> Zvhd2Reader:
    """Open a ZVHD2 object; which code the service has for a damaged one is not documented."""

    def read(offset: int, length: int) -> bytes:
        return source.objects.read(source.key, offset, length)

    try:
        return Zvhd2Reader(examine(read, source.size).container_or_raise(), read)
    except FormatError as error:
        raise RefusedError("IMG.0072", f"{error}.") from error


def _unpacked(reader: Zvhd2Reader) -> Iterator[Piece]:
    """Yield a container's disk block by block, and what lies behind the image in larger steps."""
    for block in range(len(reader.block_map)):
        offset, length = reader.block_map.byte_range(block)
        try:
            data = reader.read_block(block)[:length] if reader.block_map[block] else None
        except FormatError as error:
            raise RefusedError("IMG.0072", f"{error}.") from error
        yield from ((offset, length, data),) if data else _zeros(offset, offset + length)
    yield from _zeros(reader.container.original_size, reader.size)


def _zeros(start: int, stop: int) -> Iterator[Piece]:
    for offset in range(start, stop, READ_SIZE):
        yield offset, min(READ_SIZE, stop - offset), None


def _pieces(source: Source, size: int) -> Iterator[Piece]:
    """Yield a RAW object in order; what its bitmap calls empty is zeros."""
    for start, stop, is_data in _runs(source, size):
        for offset in range(start, stop, READ_SIZE):
            length = min(READ_SIZE, stop - offset)
            data = source.objects.read(source.key, offset, length)
            if len(data) != length:
                raise RefusedError(
                    "IMG.0057", f"The object ends at {offset + len(data)} of {size}."
                )
            if not is_data and data.strip(b"\0"):
                place = offset + length - len(data.lstrip(b"\0"))
                raise RefusedError(
                    "IMG.0158", f"The bitmap calls byte {place} empty, and it is data."
                )
            yield offset, length, data if is_data else None


def _runs(source: Source, size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield start, stop and state of what the bitmap calls data or empty, as long as it goes on."""
    bits: Iterable[int]
    if source.layout is None or source.layout == DEFAULT_LAYOUT:
        bits, block_size = _default_bits(source, size), BITMAP_BLOCK
    else:
        bits, block_size = _told_bits(source, size, source.layout), source.layout.block_size
    start = 0
    for state, run in itertools.groupby(bits):
        stop = start + sum(1 for _ in run) * block_size
        yield start, min(stop, size), bool(state)
        start = stop


def _default_bits(source: Source, size: int) -> list[bool]:
    """Read the bitmap: one bit per 2 MiB, least significant first, 1 = data."""
    blocks = ceil_div(size, BITMAP_BLOCK)
    expected = ceil_div(blocks, 8)
    packed = _packed(source)
    if len(packed) != expected:
        raise RefusedError("IMG.0158", f"The bitmap has {len(packed)} bytes instead of {expected}.")
    if blocks % 8 and packed[-1] >> blocks % 8:
        raise RefusedError("IMG.0158", "The bitmap marks blocks beyond the end of the disk.")
    return [bool(packed[block // 8] >> block % 8 & 1) for block in range(blocks)]


def _told_bits(source: Source, size: int, layout: BitmapLayout) -> Iterable[int]:
    """Read the bitmap in a layout that the emulator was told."""
    try:
        return codec.decode(_packed(source), size, layout).bits
    except FormatError as error:
        raise RefusedError("IMG.0158", f"The bitmap: {error}.") from error


def _packed(source: Source) -> bytes:
    key = bitmap_key(source.key)
    found = source.objects.head(key)
    if found is None or found.size > MAX_BITMAP:
        raise RefusedError("IMG.0158", f"There is no {key} that can be a bitmap.")
    return source.objects.read(key, 0, found.size) if found.size else b""
