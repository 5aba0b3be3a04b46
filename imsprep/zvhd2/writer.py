"""Write a ZVHD2 file: find the blocks of a disk that hold data, pack them, and prove each record.

One pass. Threads read a block into a buffer, look whether it is zeros, and pack it; records get
their places in order of blocks, so that any number of threads writes the same bytes; a record is
written, read back, unpacked and compared with the block, which is still in its buffer. At the end
header, footers and tables are read back too. Holes are not read; zeros are read once.

What is written is docs/zvhd2.md to the letter, but for the middle footer: the published driver
leaves a checksum there that does not hold, and here it holds.
"""

from __future__ import annotations

import hashlib
import os
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imsprep.errors import FormatError, ReadError, UsageError, show_path
from imsprep.image.blockmap import BlockMap
from imsprep.image.digest import DigestTree
from imsprep.image.disk import ByteExtent, Disk
from imsprep.system.malloc import keep_freed_memory
from imsprep.system.positioned import read_at, write_at
from imsprep.system.threads import Job, Workers
from imsprep.system.writeback import WriteBehind
from imsprep.zvhd2 import records
from imsprep.zvhd2.codec import DEFAULT_LEVELS, LEVELS, MEMORY, Packer, Unpacker
from imsprep.zvhd2.records import FOOTER_LENGTH, Footer

_COPIES = 3  # of a block in flight: plain, packed, and unpacked again
_FIRST_WORDS = 16  # of 8 bytes, by which a block is taken for data

Piece = tuple[int, int]  # offset and length, bytes; within one block


@dataclass(frozen=True)
class PackTask:
    """How to write a container."""

    timestamp: int  # seconds since 2000
    uuid: bytes | None = None  # 16 bytes; None: made of the content, the same for the same disk
    method: int = records.ZSTD
    level: int | None = None  # None: the method's default
    block_size: int = records.BLOCK_SIZE
    jobs: int = 1  # threads; fewer are used if memory asks for it

    def __post_init__(self) -> None:
        if self.block_size not in records.BLOCK_SIZES:
            raise UsageError(
                f"a ZVHD2 has blocks of 1, 2, 4, 8, 16 or 32 MiB, not of {self.block_size} bytes"
            )
        levels = LEVELS[self.method]
        if self.chosen_level not in levels:
            name = records.METHODS[self.method]
            raise UsageError(f"{name} has levels {levels[0]} to {levels[-1]}, not {self.level}")

    @property
    def chosen_level(self) -> int:
        """The level that is used."""
        return DEFAULT_LEVELS[self.method] if self.level is None else self.level


@dataclass(frozen=True)
class WriteTask:
    """A container that is written to a file: how it is packed, and what is done with it."""

    packing: PackTask
    progress: Callable[[int], None] = lambda count: None  # called with bytes of the disk
    with_digest: bool = False  # compute that of the disk
    verify: bool = True  # prove each record, and not the header and the tables alone


@dataclass(frozen=True)
class Written:
    """What was written and proved. Sizes in bytes."""

    footer: Footer
    size: int  # of the file
    block_map: BlockMap
    payload: int  # of all packed blocks
    digest: str | None = None  # of the disk, if it was asked for


def write_container(
    disk: Disk, extents: Iterable[ByteExtent], file: int, task: WriteTask
) -> Written:
    """Write the container of a disk to an empty file, and prove it.

    `extents` are the disk's, or all of it as data, if its holes are not to be believed. Raises
    ReadError if something cannot be read or does not read back, and ImageChangedError.
    """
    if disk.size == 0:
        raise UsageError(f"{show_path(disk.path)} is empty: there is no disk to convert")
    keep_freed_memory()
    with WriteBehind(file) as behind:
        writer = _Writer(disk, file, task, behind)
        writer.write_blocks(extents)
    disk.check_unchanged()
    return writer.finish()


def block_ranges(
    extents: Iterable[ByteExtent], block_size: int
) -> Iterator[tuple[int, list[Piece]]]:
    """Yield each block in which there is data, in order, with the ranges that are data."""
    number, ranges = -1, list[Piece]()
    for offset, length, is_data in extents:
        end = offset + length if is_data else offset
        while offset < end:
            stop = min(end, (offset // block_size + 1) * block_size)
            if offset // block_size != number:
                if ranges:
                    yield number, ranges
                number, ranges = offset // block_size, []
            ranges.append((offset, stop - offset))
            offset = stop
    if ranges:
        yield number, ranges


class _Record(NamedTuple):
    """A block record that has its place."""

    block: int
    offset: int
    length: int
    payload: bytes


class _Packed(NamedTuple):
    """A packed block, and its checksum if one is asked for."""

    payload: bytes
    crc: int


class _Writer:
    """One container while it is written: `write_blocks`, then `finish`."""

    def __init__(self, disk: Disk, file: int, task: WriteTask, behind: WriteBehind) -> None:
        self._disk, self._file, self._task, self._behind = disk, file, task, behind
        self._packing = packing = task.packing
        self._header = self._new_header()
        self._end = FOOTER_LENGTH  # where the next record begins
        self._index = np.zeros(self._header.max_blk_num, records.INDEX_ENTRY)
        self._crcs = np.zeros(self._header.max_blk_num, np.uint32)
        self._stored = 0
        self._payload = 0
        self._tree = DigestTree(disk.size) if task.with_digest else None
        self._codecs = threading.local()
        self._jobs, buffers = shares(packing, MEMORY - getattr(disk, "memory", 0))
        self._zeros = memoryview(bytes(packing.block_size))
        self._free = [bytearray(packing.block_size) for _ in range(buffers)]
        self._packing_now: deque[tuple[int, bytearray, Job[_Packed | None]]] = deque()
        self._proving_now: deque[tuple[bytearray, Job[int]]] = deque()

    def _new_header(self) -> Footer:
        packing = self._packing
        return records.new_header(
            self._disk.size,
            block_size=packing.block_size,
            method=packing.method,
            timestamp=packing.timestamp,
        )

    def write_blocks(self, extents: Iterable[ByteExtent]) -> None:
        """Write a record for each block that is not zeros."""
        reported, progress = 0, self._task.progress
        with Workers(self._jobs) as workers:
            for block, ranges in block_ranges(extents, self._header.block_size):
                while not self._free:
                    self._advance(workers)
                buffer = self._free.pop()
                job = workers.give(partial(self._pack, buffer, block, ranges))
                self._packing_now.append((block, buffer, job))
                progress(ranges[0][0] - reported)
                reported = ranges[0][0]
            while self._packing_now or self._proving_now:
                self._advance(workers)
        self._header = self._new_header()  # a stream's size is known by now
        progress(self._disk.size - reported)

    def _advance(self, workers: Workers) -> None:
        """Wait until the oldest block is packed, and write it, or proved, whichever comes first.

        To wait for one of them alone would let the threads run out of work.
        """
        packing, proving = self._packing_now, self._proving_now
        while not (packing and packing[0][2].finished) and not (proving and proving[0][1].finished):
            workers.wait()
        if packing and packing[0][2].finished:
            block, buffer, job = packing.popleft()
            packed = job.result()
            if packed is None:
                self._free.append(buffer)
                return
            record = self._place(block, packed)
            # Written here: the threads would only wait for each other, at the file's lock.
            write_at(self._file, records.record_pieces(block, record.payload), record.offset)
            if self._task.verify:
                proving.append((buffer, workers.give(partial(self._prove, record, buffer))))
            else:
                self._behind.done(record.offset + record.length)
                self._free.append(buffer)
            return
        buffer, proved = proving.popleft()
        self._behind.done(proved.result())
        self._free.append(buffer)

    def _place(self, block: int, packed: _Packed) -> _Record:
        """Give a packed block its place, behind all before it."""
        size = len(packed.payload)
        record = _Record(block, self._end, records.record_length(size), packed.payload)
        self._index[self._stored] = (record.offset, block, record.length)
        self._crcs[self._stored] = packed.crc
        self._stored += 1
        self._end += record.length
        self._payload += size
        return record

    def _pack(self, buffer: bytearray, block: int, ranges: list[Piece]) -> _Packed | None:
        """Read a block into the buffer and pack it; None if it is zeros. Runs in a thread."""
        if not read_block(self._disk, buffer, block, ranges, self._zeros):
            return None
        if self._tree is not None:
            self._tree.add(block * len(buffer), buffer)
        if not hasattr(self._codecs, "pack"):
            self._codecs.pack = Packer(self._packing.method, self._packing.chosen_level)
        payload: bytes = self._codecs.pack(buffer)
        return _Packed(payload, 0 if self._packing.uuid else zlib.crc32(payload))

    def _prove(self, record: _Record, buffer: bytearray) -> int:
        """Read a record back and compare it with its block; return its end. Runs in a thread."""
        head, payload, tail = records.record_pieces(record.block, record.payload)
        back = read_at(self._file, record.length, record.offset)
        at = len(head) + len(payload)
        if not hasattr(self._codecs, "unpack"):
            header = self._header
            self._codecs.unpack = Unpacker(header.compress_method, header.block_size)
        try:
            block = self._codecs.unpack(memoryview(back)[len(head) : at])
        except FormatError as error:
            raise _faulty(record.offset, record.length) from error
        if block != buffer or back[: len(head)] != head or back[at:] != tail:
            raise _faulty(record.offset, record.length)
        return record.offset + record.length

    def finish(self) -> Written:
        """Write the header, the tables and the footers, and prove them."""
        entries, crcs = self._index[: self._stored], self._crcs[: self._stored]
        ends = ends_of(self._header, self._packing.uuid, entries, crcs, self._end)
        footer, block_map, tables = ends.footer, ends.block_map, ends.tables
        end = self._end
        for offset, written in ((0, ends.header), (end, tables)):
            write_at(self._file, [written], offset)
            if read_at(self._file, len(written), offset) != written:
                raise _faulty(offset, len(written))
            end = offset + len(written)
        if os.fstat(self._file).st_size != end:
            raise _faulty(end, 0)
        digest = self._tree.digest() if self._tree else None
        return Written(footer, end, block_map, self._payload, digest)


def read_block(
    disk: Disk, buffer: bytearray, block: int, ranges: list[Piece], zeros: memoryview
) -> bool:
    """Read a block of a disk into a buffer; return whether it is anything but zeros."""
    start = block * len(buffer)
    with memoryview(buffer) as view:
        filled = 0
        for offset, length in ranges:
            at = offset - start
            view[filled:at] = zeros[filled:at]
            filled = at + length
            disk.pread_into(offset, view[at:filled])
        view[filled:] = zeros[filled:]
    words = np.frombuffer(buffer, np.uint64)
    # Data shows in its first bytes as a rule; what begins with zeros is looked through.
    return bool(words[:_FIRST_WORDS].any() or words.any())


class Ends(NamedTuple):
    """What stands in front of a container's records and behind them."""

    header: bytes
    tables: bytes  # middle footer, index, bitmap, final footer
    footer: Footer
    block_map: BlockMap


def ends_of(
    header: Footer, uuid: bytes | None, entries: records.Entries, crcs: NDArray[np.uint32], end: int
) -> Ends:
    """Return the ends of a container whose records end at byte `end`.

    `crcs` are of the payloads; without a `uuid` the id is made of them and of the entries.
    """
    header = header._replace(uuid=uuid or _uuid_of_content(header, entries, crcs))
    footer = records.final_footer(header, len(entries), end + FOOTER_LENGTH)
    flags = np.zeros(footer.max_blk_num, np.bool_)
    flags[entries["block"]] = True
    block_map = BlockMap.from_flags(footer.orig_size, footer.block_size, flags)
    tables = (
        _padded(header._replace(non_zero_blk_num=len(entries))),
        records.pack_index(entries),
        records.pack_bitmap(block_map),
        _padded(footer),
    )
    return Ends(_padded(header), b"".join(tables), footer, block_map)


def _uuid_of_content(header: Footer, entries: records.Entries, crcs: NDArray[np.uint32]) -> bytes:
    """Return an id that is the same for the same records of the same disk (RFC 9562, v8)."""
    digest = hashlib.sha256(records.pack_footer(header))
    digest.update(entries.tobytes() + crcs.tobytes())
    raw = bytearray(digest.digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return bytes(raw)


def shares(packing: PackTask, memory: int) -> tuple[int, int]:
    """Return how many threads and how many buffers there is memory for, in bytes."""
    size = packing.block_size
    codec = Packer.memory(packing.method, packing.chosen_level, size)
    jobs = max(1, min(packing.jobs, memory // (codec + 2 * _COPIES * size)))
    most = (memory - jobs * codec) // (_COPIES * size)
    # With one buffer a block is written before the next is read; a source that needs memory too
    # leaves no more.
    fewest = 2 if memory == MEMORY else 1
    return jobs, max(fewest, min(4 * jobs, most))


def _padded(footer: Footer) -> bytes:
    return records.pack_footer(footer).ljust(FOOTER_LENGTH, b"\0")


def _faulty(offset: int, length: int) -> ReadError:
    return ReadError(
        f"what was written does not read back: {length} bytes at byte {offset} of the container;"
        " memory or disk may be faulty, see the system log, and run again"
    )
