"""Reading a ZVHD2 file: what it holds, and its disk as a file of its own.

`examine` looks at header, footer, index and bitmap, in the order in which each can be trusted, and
bounds every count by the file's length before it allocates anything. `Zvhd2Reader` is the disk:
read-only, seekable, blocks unpacked as they are asked for.

The disk has two sizes. `orig_size` is the image that was packed, rounded up to 512; `curr_size` is
that rounded up to a whole GiB, and what the published driver reports. The reader presents
`curr_size`: behind `original_size` there is nothing but zeros.

An index of the stored blocks has to be in the order of the blocks, since the published driver
finds entries by counting. Where it is not, two readers see two disks. The reader here goes by the
numbers, in which index and records agree; `index_ascends` tells, and the check makes it an error.
`zvhd2_faults` says what else can be wrong.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.units import MIB
from imsprep.zvhd2 import faults as zvhd2_faults
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import MEMORY, Unpacker, unpacking_memory, unpacking_threads
from imsprep.zvhd2.faults import Fault, Kind, Stage
from imsprep.zvhd2.records import FOOTER_LENGTH, Entries, Footer

Read = Callable[[int, int], bytes]  # offset, length -> exactly these bytes of the file
Entry = tuple[int, int, int]  # of the index: offset, block, length

CACHE_SIZE = 32 * MIB  # bytes of unpacked blocks that a reader keeps
_SEAMS_AT_ONCE = 16384  # record heads that are held in memory together
_SEAM = np.dtype([("end", "S4"), ("head", records.RECORD_HEAD)])  # where two records meet
_POSTFIX_SIZE = len(records.POSTFIX)
_SHARED = 2  # blocks that are kept while they are asked for piece by piece


@dataclass(frozen=True)
class Container:
    """A sound ZVHD2 file's tables."""

    header: Footer
    footer: Footer
    entries: Entries  # of the stored blocks, in order of blocks
    block_map: BlockMap  # of the image that was packed, orig_size

    @property
    def block_size(self) -> int:
        """Bytes of a block."""
        return self.footer.block_size

    @property
    def original_size(self) -> int:
        """Bytes of the image that was packed."""
        return self.footer.orig_size

    @property
    def virtual_size(self) -> int:
        """Bytes of the disk that a reader of the container sees."""
        return self.footer.curr_size

    @property
    def stored_size(self) -> int:
        """Bytes of all block records."""
        return int(self.entries["length"].sum(dtype=np.uint64))

    def entry(self, block: int) -> np.void | None:
        """Return the index entry of a block; None for a block of zeros."""
        at = int(np.searchsorted(self.entries["block"], block))
        if at == len(self.entries) or self.entries["block"][at] != block:
            return None
        found: np.void = self.entries[at]
        return found


@dataclass(frozen=True)
class Examination:
    """How far a file could be read as a container, and what was wrong."""

    stage: Stage  # the last one that was looked at
    faults: tuple[Fault, ...] = ()
    header: Footer | None = None
    footer: Footer | None = None
    container: Container | None = None  # only if nothing was wrong up to its index
    # What the driver's writer leaves behind, of no account to a reader:
    middle_footer: str | None = None  # "valid", "stale" (its sum does not hold), or "none"
    index_ascends: bool | None = None  # the entries stand in order of blocks
    records_ascend: bool | None = None  # and so do the records

    @property
    def shows_two_disks(self) -> bool:
        """Return whether a reader that counts marked blocks gets other data than by the numbers."""
        counted = self.footer is not None and not self.footer.index_contains_zero_blk
        return counted and self.index_ascends is False

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: what a sound container is made of."""
        found = self.container
        if found is None:
            return {}
        footer = found.footer
        return {
            "original_size": found.original_size,
            "virtual_size": found.virtual_size,
            "block_size": found.block_size,
            "blocks": footer.max_blk_num,
            "records": len(found.entries),
            "data_bytes": found.block_map.data_bytes,
            "stored_size": found.stored_size,
            "compression": records.METHODS[footer.compress_method],
            "uuid": footer.uuid.hex(),
            "creator_version": f"{footer.creator_version >> 16}.{footer.creator_version & 0xFFFF}",
            "index_of_all_blocks": bool(footer.index_contains_zero_blk),
            "index_ascends": self.index_ascends,
            "records_ascend": self.records_ascend,
            "middle_footer": self.middle_footer,
            "unpacked": self.stage is Stage.PAYLOADS,
        }

    def container_or_raise(self) -> Container:
        """Return the container; raise the first fault as FormatError if there is one."""
        if self.faults:
            raise self.faults[0].as_error()
        assert self.container is not None
        return self.container


def examine(read: Read, size: int) -> Examination:
    """Look at everything in a file of `size` bytes but its block records."""
    head = read(0, min(size, FOOTER_LENGTH))
    faults = list(zvhd2_faults.first_of([zvhd2_faults.header_fault(head)]))
    header = records.unpack_footer(head) if len(head) == FOOTER_LENGTH else None
    if header is None or any(fault.kind is Kind.VERSION for fault in faults):
        return Examination(Stage.HEADER, tuple(faults), header)
    offset = size - FOOTER_LENGTH
    tail = read(offset, FOOTER_LENGTH)
    footer = records.unpack_footer(tail)
    fault = zvhd2_faults.footer_fault(tail, offset) or zvhd2_faults.field_fault(footer, offset)
    if fault is None and not faults:  # a damaged header need not be compared
        fault = zvhd2_faults.other_disk_fault(header, footer, offset)
    if fault is not None:
        return Examination(Stage.FOOTER, (*faults, fault), header, footer)
    fault = zvhd2_faults.tables_fault(footer, size)
    if fault is not None:
        return Examination(Stage.TABLES, (*faults, fault), header, footer)
    return _examine_tables(read, header, footer, faults)


def _examine_tables(read: Read, header: Footer, footer: Footer, faults: list[Fault]) -> Examination:
    """Look at index and bitmap, whose places and sizes are sound."""
    raw = read(footer.index_lba, footer.index_size) if footer.index_size else b""
    index = np.frombuffer(raw, records.INDEX_ENTRY, footer.index_entries)
    bitmap = read(footer.bitmap_lba, footer.bitmap_size)
    fault = zvhd2_faults.entry_fault(footer, index)
    if fault is not None:
        return Examination(Stage.INDEX, (*faults, fault), header, footer)
    used = index[zvhd2_faults.used_entries(footer, index)]
    by_block = used[np.argsort(used["block"], kind="stable")]
    by_offset = used[np.argsort(used["offset"], kind="stable")]
    faults += zvhd2_faults.first_of(
        [
            zvhd2_faults.twice_fault(by_block)
            or zvhd2_faults.bitmap_fault(footer, bitmap, by_block),
            zvhd2_faults.overlap_fault(by_offset),
        ]
    )
    return Examination(
        Stage.INDEX,
        tuple(faults),
        header,
        footer,
        None if faults else Container(header, footer, by_block, _block_map(footer, by_block)),
        _middle_footer(read, footer, by_offset),
        index_ascends=bool((used["block"][1:] >= used["block"][:-1]).all()),
        records_ascend=bool((by_block["offset"][1:] > by_block["offset"][:-1]).all()),
    )


def _block_map(footer: Footer, entries: Entries) -> BlockMap:
    flags = np.zeros(footer.max_blk_num, dtype=np.bool_)
    flags[entries["block"]] = True
    return BlockMap.from_flags(footer.orig_size, footer.block_size, flags)


def _middle_footer(read: Read, footer: Footer, by_offset: Entries) -> str:
    """Look at what stands behind the last record; the driver does not renew its checksum."""
    at = FOOTER_LENGTH
    if len(by_offset):
        at = int(by_offset["offset"][-1]) + int(by_offset["length"][-1])
    if at + FOOTER_LENGTH > footer.data_end:
        return "none"
    data = read(at, FOOTER_LENGTH)
    if not data.startswith(records.COOKIE_START):
        return "none"
    return "valid" if records.checksum(data) == records.unpack_footer(data).checksum else "stale"


def check_records(container: Container, read: Read) -> Fault | None:
    """Compare the head and the end of every record with the index: one read for each record."""
    by_offset = container.entries[np.argsort(container.entries["offset"])]
    for first in range(0, len(by_offset), _SEAMS_AT_ONCE):
        some = by_offset[first : first + _SEAMS_AT_ONCE]
        starts = some["offset"].astype(np.int64)
        # A record's end and the next one's head are neighbours, and read together.
        seams, which = np.unique(
            np.concatenate([starts, starts + some["length"]]), return_inverse=True
        )
        raw = b"".join(read(int(at) - _POSTFIX_SIZE, _SEAM.itemsize) for at in seams)
        found = np.frombuffer(raw, _SEAM)[which]
        fault = zvhd2_faults.records_fault(
            some, found["head"][: len(some)], found["end"][len(some) :]
        )
        if fault is not None:
            return fault
    return None


def payload_of(record: bytes, entry: Entry) -> memoryview:
    """Return the compressed block in a whole record; FormatError if the record is damaged."""
    head = records.unpack_block_header(record)
    if not (
        head.prefix == records.PREFIX
        and head.curr_blk == entry[1]
        and head.size > 0
        and records.record_length(head.size) == len(record)
        and record.endswith(records.POSTFIX)
    ):
        raise _why_damaged(record, entry).as_error()
    start = records.BLOCK_HEADER_SIZE
    return memoryview(record)[start : start + head.size]


def _why_damaged(record: bytes, entry: Entry) -> Fault:
    """Return the fault of a record that does not belong to its entry."""
    entries = np.array([entry], records.INDEX_ENTRY)
    heads = np.frombuffer(record, records.RECORD_HEAD, 1)
    ends = np.array([record[-_POSTFIX_SIZE:]])
    fault = zvhd2_faults.records_fault(entries, heads, ends)
    offset, block, length = entry
    return fault or Fault(Kind.RECORD, f"the record of block {block} is damaged", offset, length)


class Zvhd2Reader(io.RawIOBase):
    """The disk in a container, as a seekable file of `virtual_size` bytes, read-only.

    `pread` and `read_block` may be called by several threads; the position belongs to one, as that
    of any file. Reading raises FormatError where a record is damaged. Opened by `open`; a reader
    that was made of `examine` leaves its file to its opener.
    """

    def __init__(self, container: Container, read: Read) -> None:
        self.container = container
        self._read, self._at = read, 0
        self._zeros = bytes(container.block_size)
        self._unpackers = threading.local()
        self._cache: OrderedDict[int, bytes] = OrderedDict()
        self._cached = max(1, CACHE_SIZE // container.block_size)
        self._lock = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str | os.PathLike[str]) -> Iterator[Zvhd2Reader]:
        """Open a ZVHD2 file; raises FormatError if its tables are not sound, or ReadError."""
        with RawImage.open(path) as image:
            container = examine(image.pread, image.size).container_or_raise()
            with cls(container, image.pread) as reader:
                yield reader

    @property
    def size(self) -> int:
        """Bytes of the disk: `virtual_size` of the container."""
        return self.container.virtual_size

    @property
    def block_map(self) -> BlockMap:
        """The blocks that are stored, of the image that was packed."""
        return self.container.block_map

    def read_block(self, block: int) -> bytes:
        """Return a whole block, unpacked again; one that is not stored is zeros."""
        entry = self.container.entry(block)
        if entry is None:
            return self._zeros
        return self.read_stored((int(entry["offset"]), block, int(entry["length"])))

    def read_stored(self, entry: Entry) -> bytes:
        """Return the block of an index entry, unpacked; FormatError if it is damaged."""
        offset, block, length = entry
        unpack = getattr(self._unpackers, "it", None)
        if unpack is None:
            footer = self.container.footer
            unpack = self._unpackers.it = Unpacker(footer.compress_method, footer.block_size)
        record = self._read(offset, length)
        try:
            block_bytes: bytes = unpack(payload_of(record, entry))
            return block_bytes
        except FormatError as error:
            if error.offset is not None:
                raise
            raise FormatError(f"block {block}: {error}", offset=offset) from error

    def pread(self, offset: int, length: int) -> bytes:
        """Return a range of the disk, cut at its end."""
        if offset < 0 or length < 0:
            raise ValueError(f"no such range: {length} bytes from {offset}")
        return b"".join(self._pieces(offset, length))

    def readable(self) -> bool:
        """Return True: it can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: it can be positioned."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Set the position, in bytes; past the end is allowed, before the start is not."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to byte {base + offset}")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as the disk goes; 0 at the end."""
        self._checkClosed()
        view = memoryview(buffer).cast("B")
        done = 0
        for piece in self._pieces(self._at, len(view)):
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._at += done
        return done

    def _pieces(self, offset: int, length: int) -> Iterator[memoryview]:
        """Yield a range of the disk block by block."""
        size = self.container.block_size
        end = min(offset + length, self.size)
        while offset < end:
            number, start = divmod(offset, size)
            stop = min(size, start + end - offset)
            yield memoryview(self._cached_block(number))[start:stop]
            offset += stop - start

    def _cached_block(self, block: int) -> bytes:
        if block >= len(self.block_map) or not self.block_map[block]:
            return self._zeros
        with self._lock:
            if block in self._cache:
                self._cache.move_to_end(block)
                return self._cache[block]
        data = self.read_block(block)  # two threads may both do it; neither waits for the other
        with self._lock:
            self._cache[block] = data
            while len(self._cache) > self._cached:
                self._cache.popitem(last=False)
        return data


class _Shared:
    """A block that several threads want: the first unpacks it, the others wait for that."""

    def __init__(self) -> None:
        self.lock, self.data = threading.Lock(), b""


class PackedDisk:
    """The disk that was packed into a ZVHD2, without the zeros behind its end.

    Blocks that are asked for piece by piece, in order and by several threads, are unpacked once.
    `memory` is what that takes at most, in bytes.
    """

    def __init__(self, image: RawImage, reader: Zvhd2Reader, *, jobs: int = 1) -> None:
        self.path, self.size = image.path, reader.container.original_size
        self._image, self._reader = image, reader
        size = reader.container.block_size
        threads = unpacking_threads(size, jobs, memory=MEMORY // 2)
        self._unpacking = threading.BoundedSemaphore(threads)
        self.memory = unpacking_memory(size, threads) + _SHARED * size
        self._shared: OrderedDict[int, _Shared] = OrderedDict()
        self._lock = threading.Lock()

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
            data = self._block(block, whole=len(buffer) >= size)
            piece = memoryview(data)[start : start + len(buffer)]
            buffer[: len(piece)] = piece
            buffer, offset = buffer[len(piece) :], offset + len(piece)

    def _block(self, block: int, *, whole: bool) -> bytes:
        """Return a block; one of which only a piece is wanted is kept for who wants the others."""
        if whole:
            return self._unpacked(block)
        with self._lock:
            shared = self._shared.setdefault(block, _Shared())
            while len(self._shared) > _SHARED:
                self._shared.popitem(last=False)
        with shared.lock:
            shared.data = shared.data or self._unpacked(block)
        return shared.data

    def _unpacked(self, block: int) -> bytes:
        with self._unpacking:
            return self._reader.read_block(block)

    def check_unchanged(self) -> None:
        """Raise ImageChangedError if the container's file changed."""
        self._image.check_unchanged()
