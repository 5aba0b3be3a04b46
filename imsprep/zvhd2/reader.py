"""The disk in a ZVHD2 file, as a file of its own: read-only, seekable, unpacked as it is asked for.

The reader presents `curr_size`, the virtual size: behind `original_size` there is nothing but
zeros. Where an index is not in the order of the blocks it goes by the numbers, in which index and
records agree. What the file holds is found by `examine`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.image.disk import ByteExtent
from imsprep.image.file import RawImage
from imsprep.image.readonly_file import ReadOnlyFile
from imsprep.units import MIB
from imsprep.zvhd2 import faults as zvhd2_faults
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import MEMORY, Unpacker, unpacking_memory, unpacking_threads
from imsprep.zvhd2.examine import Container, Read, examine
from imsprep.zvhd2.faults import Fault, Kind

Entry = tuple[int, int, int]  # of the index: offset, block, length

CACHE_SIZE = 32 * MIB  # bytes of unpacked blocks that a reader keeps
_POSTFIX_SIZE = len(records.POSTFIX)
_SHARED = 2  # blocks that are kept while they are asked for piece by piece


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


class Zvhd2Reader(ReadOnlyFile):
    """The disk in a container, as a seekable file of `virtual_size` bytes, read-only.

    `pread` and `read_block` may be called by several threads; the position belongs to one, as that
    of any file. Reading raises FormatError where a record is damaged. Opened by `open`; a reader
    that was made of `examine` leaves its file to its opener.
    """

    def __init__(self, container: Container, read: Read) -> None:
        self.container = container
        self._read = read
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

    def read_range(self, offset: int, view: memoryview) -> int:
        """Unpack a range of the disk into a buffer."""
        done = 0
        for piece in self._pieces(offset, len(view)):
            view[done : done + len(piece)] = piece
            done += len(piece)
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

    def __init__(self, image: RawImage, reader: Zvhd2Reader, *, jobs: int) -> None:
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
