"""A container as a stream of parts: packed in order on all cores, and never whole anywhere.

The bytes are those that `writer` gives for the same disk and packing. Each part holds whole block
records, and ends with the first record that reaches its least length: where it ends depends on the
records alone, so that another run gives the same parts. The first part comes last, because the
header's id is made of all records; the tables end the last part.

Another run may know parts from an earlier one (`KnownPart`). Their blocks are read and compared
with what was noted of them, but not packed again. Each packed block is proved before it is handed
on.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import mmap
import threading
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imsprep.errors import FormatError, ReadError, UsageError, show_path
from imsprep.image.digest import DigestTree
from imsprep.image.disk import ByteExtent, Disk
from imsprep.system.buffers import Buffers
from imsprep.system.malloc import keep_freed_memory
from imsprep.system.threads import Job, Workers
from imsprep.units import ceil_div
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import MEMORY, Packer, Unpacker
from imsprep.zvhd2.records import FOOTER_LENGTH
from imsprep.zvhd2.writer import PackTask, Piece, Written, block_ranges, ends_of, read_block, shares

# What is noted of a record in a part; all of them tell where each lies.
ROW = np.dtype([("block", "<u4"), ("length", "<u4"), ("crc", "<u4")])
Rows = NDArray[np.void]


class StaleError(Exception):
    """What is noted of an earlier run does not fit the disk; nothing of it may be used."""


@dataclass(frozen=True)
class KnownPart:
    """A part that an earlier run brought to where it belongs."""

    number: int  # from 2: the first part is never known
    start: int  # byte of the container
    length: int  # bytes
    rows: Rows  # of its records, in order
    digest: str  # of its blocks, in hex
    uuid: str = ""  # of the container, in hex, if the tables are part of it


class Chunk(NamedTuple):
    """A part: its bytes, or None if it is known already.

    `release` is to be called when the bytes are not needed any more: what is made next may take
    their place. Without it they are simply forgotten.
    """

    part: KnownPart
    data: memoryview | None
    release: Callable[[], object] = lambda: None


class _Filling:
    """The bytes of a part while they are added, in memory for the longest that it can be.

    That is taken for the first piece: until then a part that is on its way may give back its own,
    and parts that are known may pass, behind which a part may be longer.
    """

    def __init__(self, buffers: Buffers, most: Callable[[], int]) -> None:
        self._buffers, self._most = buffers, most
        self._bytes: mmap.mmap | None = None
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, piece: bytes) -> None:
        """Put a piece behind the others; IndexError if it is more than fits."""
        if self._bytes is None:
            self._bytes = self._buffers.take(self._most())
        self._bytes[self._length : self._length + len(piece)] = piece
        self._length += len(piece)

    def view(self) -> memoryview:
        """Return what was added."""
        return memoryview(self._bytes or b"")[: self._length]

    def release(self) -> None:
        """Give the memory back, once nothing reads what `view` gave."""
        if self._bytes is not None:
            self._buffers.release(self._bytes)


class _Packed(NamedTuple):
    """A block that is not zeros: its digest, and unless its part is known, how it is packed."""

    digest: bytes
    payload: bytes = b""
    crc: int = 0


def longest_container(size: int, block_size: int) -> int:
    """Return a length in bytes that the container of a disk of `size` bytes does not exceed."""
    blocks = ceil_div(size, block_size)
    return FOOTER_LENGTH + blocks * _longest_record(block_size) + _longest_tables(size, block_size)


def _longest_record(block_size: int) -> int:
    """Return the length of the record of a block that does not pack."""
    return records.record_length(block_size + block_size // 128 + 4096)


def _longest_tables(size: int, block_size: int) -> int:
    """Return a length that the footers and tables behind the records do not exceed."""
    segments = ceil_div(ceil_div(size, block_size), records.SEGMENT_BLOCKS) + 1
    return segments * (records.INDEX_SEGMENT + records.BITMAP_SEGMENT) + 2 * FOOTER_LENGTH


def check_known(parts: Iterable[KnownPart]) -> dict[int, KnownPart]:
    """Return parts by their numbers; none if they contradict each other."""
    found = sorted(parts, key=lambda part: part.number)
    blocks = np.concatenate([part.rows["block"] for part in found] or [np.zeros(0, "<u4")])
    sound = (
        all(part.number > 1 and part.start > 0 for part in found)
        and all(a.number < b.number and a.start + a.length <= b.start and not a.uuid
                for a, b in itertools.pairwise(found))
        and bool((np.diff(blocks.astype(np.int64)) > 0).all())
    )  # fmt: skip
    return {part.number: part for part in found} if sound else {}


class ContainerStream:
    """One pass over a disk; `chunks` once, and then `written`."""

    def __init__(
        self,
        disk: Disk,
        packing: PackTask,
        least: Callable[[int], int],
        known: Mapping[int, KnownPart],
        *,
        verify: bool = True,
    ) -> None:
        """Prepare for a pass; `least` says how long a part must be at least, by its number."""
        if disk.size == 0:
            raise UsageError(f"{show_path(disk.path)} is empty: there is no disk to convert")
        self._disk, self._packing, self._least = disk, packing, least
        self._known, self._verify = dict(known), verify
        size = packing.block_size
        self._header = records.new_header(
            disk.size, block_size=size, method=packing.method, timestamp=packing.timestamp
        )
        self._index = np.zeros(self._header.max_blk_num, records.INDEX_ENTRY)
        self._crcs = np.zeros(self._header.max_blk_num, np.uint32)
        self._stored = self._payload = 0
        self._tree = DigestTree(disk.size)
        self._codecs = threading.local()
        self._jobs, buffers = shares(packing, MEMORY - getattr(disk, "memory", 0))
        self._zeros = memoryview(bytes(size))
        self._free = [bytearray(size) for _ in range(buffers)]
        self._number, self._start, self._end = 1, 0, FOOTER_LENGTH
        self._buffers = Buffers()
        self._data = _Filling(self._buffers, self._longest_part)
        self._data.add(bytes(FOOTER_LENGTH))  # which the header takes at the end
        self._rows: list[tuple[int, int, int]] = []
        self._digest = hashlib.sha256()
        self.packed = 0  # blocks that were packed in this pass
        self.written: Written | None = None  # what is known of the whole, at the end

    def chunks(
        self, extents: Iterable[ByteExtent], progress: Callable[[int], None]
    ) -> Generator[Chunk]:
        """Yield the parts in order, but the first one last.

        `progress` is called with bytes of the disk. Raises StaleError if a known part does not fit,
        ReadError, ImageChangedError.
        """
        keep_freed_memory()
        first: memoryview | None = None
        filled = self._filled(extents, progress)
        with contextlib.closing(filled):
            for chunk in filled:
                if chunk.part.number == 1:
                    first = chunk.data
                else:
                    yield chunk
                del chunk  # or it would be held until the next part is full
        self._disk.check_unchanged()
        entries, crcs = self._index[: self._stored], self._crcs[: self._stored]
        ends = ends_of(self._header, self._packing.uuid, entries, crcs, self._end)
        size = self._end + len(ends.tables)
        self.written = Written(
            ends.footer, size, ends.block_map, self._payload, self._tree.digest()
        )
        last = self._closed(ends.tables, ends.footer.uuid.hex())
        if first is None:
            first = last.data
        else:
            yield last
        assert first is not None
        first[:FOOTER_LENGTH] = ends.header
        yield Chunk(KnownPart(1, 0, len(first), np.zeros(0, ROW), ""), first)

    def _closed(self, tables: bytes, uuid: str) -> Chunk:
        """Return the last part, the tables behind its records."""
        known = self._known.pop(self._number, None)
        if self._known:
            raise StaleError("parts after the last one are recorded")
        if known is None:
            self._data.add(tables)
            return self._part(uuid)
        whole = self._in_known and not self._rows_left
        bare = not len(known.rows) and known.start == self._end and not len(self._data)
        length = self._end + len(tables) - known.start
        if known.uuid != uuid or known.length != length or not (whole or bare):
            raise StaleError("the tables that were sent are not those of this disk")
        return Chunk(known, None)

    def _filled(
        self, extents: Iterable[ByteExtent], progress: Callable[[int], None]
    ) -> Generator[Chunk]:
        """Yield each part that is full, and each known one whose blocks are what was noted."""
        self._in_known, self._rows_left = False, deque[int]()
        waiting: deque[tuple[int, bytearray, KnownPart | None, Job[_Packed | None]]] = deque()
        reported = 0
        with Workers(self._jobs) as workers:
            for block, ranges in block_ranges(extents, self._header.block_size):
                while not self._free:
                    yield from self._advance(workers, waiting)
                buffer, known = self._free.pop(), self._known_with(block)
                work = self._look if known else self._pack
                job = workers.give(partial(work, buffer, block, ranges))
                waiting.append((block, buffer, known, job))
                progress(ranges[0][0] - reported)
                reported = ranges[0][0]
            while waiting:
                yield from self._advance(workers, waiting)
        progress(self._disk.size - reported)

    def _known_with(self, block: int) -> KnownPart | None:
        """Return the known part in whose range of blocks this one lies."""
        if not hasattr(self, "_ranges"):
            parts = [part for part in self._known.values() if len(part.rows)]
            self._ranges = deque(sorted(parts, key=lambda part: part.number))
        while self._ranges and self._ranges[0].rows["block"][-1] < block:
            self._ranges.popleft()
        if self._ranges and self._ranges[0].rows["block"][0] <= block:
            return self._ranges[0]
        return None

    def _advance(
        self,
        workers: Workers,
        waiting: deque[tuple[int, bytearray, KnownPart | None, Job[_Packed | None]]],
    ) -> Iterator[Chunk]:
        """Take the oldest block as soon as it is done; yield the part that it fills."""
        while not waiting[0][3].finished:
            workers.wait()
        block, buffer, known, job = waiting.popleft()
        done = job.result()
        self._free.append(buffer)
        if known is not None:
            yield from self._compared(block, done, known)
        elif done is not None:
            self._take(block, done)
            if len(self._data) >= self._least(self._number):
                yield self._part("")

    def _take(self, block: int, done: _Packed) -> None:
        """Put a packed block behind the others."""
        if self._in_known or self._number in self._known:
            raise StaleError(f"block {block} is not where it was recorded")
        pieces = records.record_pieces(block, done.payload)
        length = sum(map(len, pieces))
        for piece in pieces:
            self._data.add(piece)
        self._add(block, length, done.crc)
        self._rows.append((block, length, done.crc))
        self._digest.update(block.to_bytes(4, "little") + done.digest)
        self._payload += len(done.payload)
        self.packed += 1

    def _add(self, block: int, length: int, crc: int) -> None:
        """Note where a record lies."""
        self._index[self._stored] = (self._end, block, length)
        self._crcs[self._stored] = crc
        self._stored += 1
        self._end += length

    def _longest_part(self) -> int:
        """Return how many bytes the part may have whose turn it is."""
        size = self._header.block_size
        tables = _longest_tables(self._disk.size, size)
        return FOOTER_LENGTH + self._least(self._number) + _longest_record(size) + tables

    def _part(self, uuid: str) -> Chunk:
        """Return the part that is full, and begin the next."""
        full, data, rows = self._data, self._data.view(), np.array(self._rows, ROW)
        digest = self._digest.hexdigest()
        part = KnownPart(self._number, self._start, len(data), rows, digest, uuid)
        self._number, self._start = self._number + 1, self._start + len(data)
        self._data = _Filling(self._buffers, self._longest_part)
        self._rows, self._digest = [], hashlib.sha256()
        return Chunk(part, data, full.release)

    def _compared(self, block: int, done: _Packed | None, known: KnownPart) -> Iterator[Chunk]:
        """Compare a block with what was noted of it; yield its part when all of it is."""
        if not self._in_known:
            if len(self._data) or (known.number, known.start) != (self._number, self._end):
                raise StaleError(f"part {known.number} is not where it was recorded")
            self._in_known, self._rows_left = True, deque(known.rows["block"].tolist())
        if done is None:
            if self._rows_left and self._rows_left[0] == block:
                raise StaleError(f"block {block} was recorded, and it is zeros")
            return
        if not self._rows_left or self._rows_left.popleft() != block:
            raise StaleError(f"block {block} was not recorded")
        self._digest.update(block.to_bytes(4, "little") + done.digest)
        if self._rows_left:
            return
        if self._digest.hexdigest() != known.digest:
            raise StaleError(f"the blocks of part {known.number} are not what was recorded")
        self._digest = hashlib.sha256()
        for number, length, crc in known.rows.tolist():
            self._add(number, length, crc)
        if known.uuid:
            return  # the tables are yet to be compared, see `_closed`
        if self._end != known.start + known.length:
            raise StaleError(f"part {known.number} has another length than was recorded")
        del self._known[known.number]
        self._in_known = False
        self._number, self._start = self._number + 1, self._end
        yield Chunk(known, None)

    def _look(self, buffer: bytearray, block: int, ranges: list[Piece]) -> _Packed | None:
        """Read a block and hash it; None if it is zeros. Runs in a thread."""
        if not read_block(self._disk, buffer, block, ranges, self._zeros):
            return None
        return _Packed(self._tree.add(block * len(buffer), buffer))

    def _pack(self, buffer: bytearray, block: int, ranges: list[Piece]) -> _Packed | None:
        """Read a block, hash it, pack it and prove that; None if it is zeros. Runs in a thread."""
        seen = self._look(buffer, block, ranges)
        if seen is None:
            return None
        if not hasattr(self._codecs, "pack"):
            header = self._header
            self._codecs.pack = Packer(self._packing.method, self._packing.chosen_level)
            self._codecs.unpack = Unpacker(header.compress_method, header.block_size)
        payload: bytes = self._codecs.pack(buffer)
        if self._verify:
            try:
                same = self._codecs.unpack(payload) == buffer
            except FormatError:
                same = False
            if not same:
                raise ReadError(
                    f"block {block} does not unpack to what was packed; memory may be faulty, see"
                    " the system log, and run again"
                )
        return seen._replace(payload=payload, crc=zlib.crc32(payload))
