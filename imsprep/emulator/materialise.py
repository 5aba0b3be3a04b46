"""Read what was uploaded, as the service has to, and make the disk of it.

What an object is, its content says: ZVHD2 by its cookie, RAW otherwise, and any other disk format
that is recognised is refused. A RAW object needs its bitmap next to it: `disk.raw`, `disk.mf`. The
disk is then made of the blocks that the bitmap marks as data, the rest is zeros; a block that the
bitmap calls empty and that is not would be lost on the real service, and fails the job here.

The disk of a ZVHD2 object has the size that the published driver reports: that of the image which
was packed, rounded up to a whole GiB with zeros. What the service makes is not documented. A disk
therefore carries two digests (`image.digest`), its own and that of the image it was packed from; of
a RAW object they are the same.

A bitmap in the default layout is read here in lines of its own and not by `bitmap.codec`, so that
one is a test of the other; another layout has to be given to the emulator.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from imsprep.bitmap import codec
from imsprep.bitmap.layout import DEFAULT_LAYOUT, BitmapLayout
from imsprep.emulator.validate import RefusedError
from imsprep.errors import FormatError, ServiceError, TransferError
from imsprep.image import formats
from imsprep.image.digest import LEAF, DigestTree
from imsprep.store.contract import STANDARD, ObjectFacts
from imsprep.system import atomic
from imsprep.system.positioned import write_at
from imsprep.system.threads import Workers, usable_cpus
from imsprep.units import MIB, TIB, ceil_div, round_up
from imsprep.zvhd2.examine import examine
from imsprep.zvhd2.reader import Zvhd2Reader

BITMAP_BLOCK = 2 * MIB  # bytes; docs/bitmap-file.md
READ_SIZE = 8 * MIB  # bytes of one read from the store
MAX_BITMAP = 512 * MIB  # bytes
MAX_SIZE = TIB  # "the size of an image file cannot exceed 1 TB", API reference, 2024-08-09


class Objects(Protocol):
    """What is needed of a bucket: a part of `store.contract.ObjectStore`."""

    def head(self, key: str) -> ObjectFacts | None:
        """Return what is known of an object, or None."""

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Return a range of an object."""


class ObjectSource(NamedTuple):
    """An object that was accepted for import."""

    objects: Objects
    key: str
    size: int  # bytes
    format: str  # raw or zvhd2
    layout: BitmapLayout | None = None  # of a RAW object's bitmap; None: the default


class MadeDisk(NamedTuple):
    """The disk that an import made."""

    path: Path
    size: int  # bytes, the virtual size
    digest: str
    original_size: int  # bytes, of the image that was packed
    original_digest: str


def accept(objects: Objects | None, key: str, layout: BitmapLayout | None = None) -> ObjectSource:
    """Look at an object before a job begins; raise RefusedError with the documented code."""
    if objects is None:
        raise RefusedError("IMG.0069")
    try:
        return _accept(objects, key)._replace(layout=layout)
    except TransferError as error:
        raise RefusedError("IMG.0061", str(error), status=500) from error
    except ServiceError as error:
        raise RefusedError("IMG.0069", str(error)) from error


def _accept(objects: Objects, key: str) -> ObjectSource:
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
    return ObjectSource(objects, key, found.size, kind)


def bitmap_key(key: str) -> str:
    """Return the key of the bitmap of a RAW object: the same folder and base name."""
    return str(PurePosixPath(key).with_suffix(".mf"))


def virtual_size(source: ObjectSource) -> int:
    """Return the size in bytes of the disk in an object; RefusedError if it is no whole disk."""
    if source.format == formats.RAW:
        if source.size % 512:
            raise RefusedError(
                "IMG.0057", f"{source.size} bytes are not a whole number of sectors."
            )
        return source.size
    return _open_container(source).size


class EmulatorStoppedError(Exception):
    """The emulator is ending; the disk was not finished."""


def materialise(
    source: ObjectSource,
    path: Path,
    stopping: Callable[[], bool],
    on_share: Callable[[float], object] = lambda share: None,
) -> MadeDisk:
    """Write the disk of an object to `path`, sparse, and return it with its digest.

    What the store knows to be a hole is neither read nor written; all cores work on the rest.
    `on_share` is called with what of it is done, up to 1. Raises EmulatorStoppedError, leaving no
    file, as soon as `stopping` says so.
    """
    content: _Raw | _Packed = _Raw(source) if source.format == formats.RAW else _Packed(source)
    tree = DigestTree(content.size)
    with atomic.writing(path) as file, Workers(usable_cpus()) as workers:
        target = file.fileno()
        file.truncate(content.size)

        def bring(piece: Piece) -> None:
            data = content.read(piece)
            if _holds_data(data):
                tree.add(piece[0], data)
                write_at(target, [data], piece[0])

        pieces = list(content.pieces())
        for done, _ in enumerate(workers.map(bring, pieces), 1):
            if stopping():
                raise EmulatorStoppedError
            on_share(done / len(pieces))
    original = content.original_size
    return MadeDisk(path, content.size, tree.digest(), original, tree.digest(original))


Piece = tuple[int, int]  # offset and length of what may be data, bytes


class _Raw:
    """The disk in a RAW object: what its bitmap calls empty must be zeros."""

    def __init__(self, source: ObjectSource) -> None:
        self._source = source
        self.size = self.original_size = virtual_size(source)
        empty = [(start, stop) for start, stop, is_data in _runs(source, self.size) if not is_data]
        self._empty_stops = [stop for _, stop in empty]
        self._empty = empty

    def pieces(self) -> Iterator[Piece]:
        """Yield what the store does not know to be a hole, in whole leaves of the digest."""
        ranges = getattr(self._source.objects, "data_ranges", None)
        known = [(0, self.size)] if ranges is None else ranges(self._source.key)
        done = 0
        for start, stop in known:
            at, end = max(done, start // LEAF * LEAF), min(self.size, round_up(stop, LEAF))
            while at < end:
                length = min(end, (at // READ_SIZE + 1) * READ_SIZE) - at
                yield at, length
                at += length
            done = max(done, end)

    def read(self, piece: Piece) -> bytes:
        """Return a piece, after a look at what of it has to be zeros. Runs in a thread."""
        offset, length = piece
        data = self._source.objects.read(self._source.key, offset, length)
        if len(data) != length:
            raise RefusedError(
                "IMG.0057", f"The object ends at {offset + len(data)} of {self.size}."
            )
        for start, stop in self._empty[bisect_right(self._empty_stops, offset) :]:
            if start >= offset + length:
                break
            first = max(start - offset, 0)
            inside = data[first : max(stop - offset, 0)]
            if _holds_data(inside):
                place = offset + first + len(inside) - len(inside.lstrip(b"\0"))
                raise RefusedError(
                    "IMG.0158", f"The bitmap marks byte {place} as empty, and it holds data."
                )
        return data


class _Packed:
    """The disk in a ZVHD2 object, with zeros behind it up to a whole GiB."""

    def __init__(self, source: ObjectSource) -> None:
        self._reader = _open_container(source)
        self.size = self._reader.size
        self.original_size = self._reader.container.original_size

    def pieces(self) -> Iterator[Piece]:
        """Yield the stored blocks."""
        for block in self._reader.container.entries["block"].tolist():
            offset, length = self._reader.block_map.byte_range(block)
            yield offset, min(round_up(length, LEAF), self.size - offset)

    def read(self, piece: Piece) -> bytes:
        """Return a block, in whole leaves of the digest. Runs in a thread."""
        offset, length = piece
        try:
            return self._reader.read_block(offset // self._reader.block_map.block_size)[:length]
        except FormatError as error:
            raise RefusedError("IMG.0072", f"{error}.") from error


def _holds_data(data: bytes) -> bool:
    """Return whether a byte is not zero."""
    whole = len(data) // 8
    words = np.frombuffer(data, np.uint64, whole)
    return bool(words.any() or data[8 * whole :].strip(b"\0"))


def _open_container(source: ObjectSource) -> Zvhd2Reader:
    """Open a ZVHD2 object; which code the service has for a damaged one is not documented."""

    def read(offset: int, length: int) -> bytes:
        return source.objects.read(source.key, offset, length)

    try:
        return Zvhd2Reader(examine(read, source.size).container_or_raise(), read)
    except FormatError as error:
        raise RefusedError("IMG.0072", f"{error}.") from error


def _runs(source: ObjectSource, size: int) -> Iterator[tuple[int, int, bool]]:
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


def _default_bits(source: ObjectSource, size: int) -> list[bool]:
    """Read the bitmap: one bit per 2 MiB, least significant first, 1 = data."""
    blocks = ceil_div(size, BITMAP_BLOCK)
    expected = ceil_div(blocks, 8)
    packed = _packed(source)
    if len(packed) != expected:
        raise RefusedError("IMG.0158", f"The bitmap has {len(packed)} bytes instead of {expected}.")
    if blocks % 8 and packed[-1] >> blocks % 8:
        raise RefusedError("IMG.0158", "The bitmap marks blocks beyond the end of the disk.")
    return [bool(packed[block // 8] >> block % 8 & 1) for block in range(blocks)]


def _told_bits(source: ObjectSource, size: int, layout: BitmapLayout) -> Iterable[int]:
    """Read the bitmap in a layout that the emulator was given."""
    try:
        return codec.decode(_packed(source), size, layout).bits
    except FormatError as error:
        raise RefusedError("IMG.0158", f"The bitmap: {error}.") from error


def _packed(source: ObjectSource) -> bytes:
    key = bitmap_key(source.key)
    found = source.objects.head(key)
    if found is None or found.size > MAX_BITMAP:
        raise RefusedError("IMG.0158", f"There is no {key} that can be a bitmap.")
    return source.objects.read(key, 0, found.size) if found.size else b""
