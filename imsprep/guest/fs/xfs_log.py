"""Whether the log of an XFS is clean: its last record is then the one that unmounting writes.

The log is a ring of *basic blocks* of 512 bytes. The first word of each is the number of the round
(*cycle*) in which it was written, or, where a record begins, a magic number, after which the cycle
stands. The *head* is where the cycle changes. A record tells its own place in the sequence (LSN).

Sources: xfs_log_format.h and xfs_format.h of the Linux kernel; how it looks for the head and the
unmount record is described at xlog_find_head and xlog_check_unmount_rec.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from imsprep.units import KIB, MIB, SECTOR

Read = Callable[[int, int], bytes]  # offset, length -> bytes of the file system

# Magic, block size, start of the log, blocks of an AG, blocks of the log, log2 of an AG's blocks.
_SUPERBLOCK = struct.Struct(">4sI40xQ28xI8xI24xB")
# Magic, cycle, version, length; LSN, LSN of the tail; checksum, block before it, operations.
_RECORD = struct.Struct(">4I2Q3I")
_RECORD_MAGIC = 0xFEEDBABE
_RECORD_SIZE_AT = 320  # h_size: the size of the buffer that the record came from
_HEADER_COVERS = 32 * KIB  # a larger buffer has a header block more for each
_FLAGS_AT, _UNMOUNT = 9, 0x20  # oh_flags of the first operation; XLOG_UNMOUNT_TRANS

# A record is at most 256 KiB with its header blocks; eight of them may be written at once, in any
# order, so that a crash can leave newer ones behind a hole.
_BEFORE = (256 * KIB) // SECTOR + 16
_AFTER = 2 * MIB // SECTOR


class _Log(NamedTuple):
    """Where the log lies: offset in bytes, length in basic blocks."""

    read: Read
    start: int
    blocks: int

    def words(self, block: int) -> tuple[int, int]:
        return struct.unpack(">II", self.read(self.start + block * SECTOR, 8).ljust(8, b"\0"))

    def cycle(self, block: int) -> int:
        first, second = self.words(block)
        return second if first == _RECORD_MAGIC else first


def is_clean(read: Read) -> bool | None:
    """Return whether the log holds nothing to be replayed; None if it is elsewhere or broken."""
    log = _find_log(read)
    if log is None:
        return None
    first = log.cycle(0)
    if first == 0:
        return True if not any(log.words(0)) else None  # never written since it was zeroed
    head = _head(log, first)
    newest = max(_records(log, head - _BEFORE, head + _AFTER), default=None)
    return None if newest is None else _is_unmount(log, newest & 0xFFFFFFFF)


def _find_log(read: Read) -> _Log | None:
    head = read(0, _SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size:
        return None
    magic, block_size, start, group, blocks, group_log = _SUPERBLOCK.unpack(head)
    sound = magic == b"XFSB" and block_size and block_size % SECTOR == 0 and group_log <= 31
    if not (sound and start and blocks):
        return None
    # The number of the allocation group stands in the upper bits.
    at = (start >> group_log) * group + (start & ((1 << group_log) - 1))
    return _Log(read, at * block_size, blocks * (block_size // SECTOR))


def _head(log: _Log, first: int) -> int:
    """Return the first block that is not of block 0's cycle; 0 if all are."""
    low, high = 0, log.blocks - 1
    if log.cycle(high) == first:
        return 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if log.cycle(middle) == first else (low, middle)
    return high


def _records(log: _Log, first: int, end: int) -> Iterator[int]:
    """Yield the LSN of each record that begins between two blocks of the ring."""
    first, end = first % log.blocks, first % log.blocks + min(end - first, log.blocks)
    for start, stop in ((first, min(end, log.blocks)), (0, max(end - log.blocks, 0))):
        data = log.read(log.start + start * SECTOR, (stop - start) * SECTOR)
        for at in range(0, len(data) - SECTOR + 1, SECTOR):
            if data[at : at + 4] == _RECORD_MAGIC.to_bytes(4, "big"):
                lsn = int(_RECORD.unpack_from(data, at)[4])
                if lsn & 0xFFFFFFFF == start + at // SECTOR:  # the lower half is its own place
                    yield lsn


def _is_unmount(log: _Log, block: int) -> bool | None:
    header = log.read(log.start + block * SECTOR, SECTOR)
    if len(header) < SECTOR:
        return None
    operations = _RECORD.unpack_from(header)[8]
    (size,) = struct.unpack_from(">I", header, _RECORD_SIZE_AT)
    headers = max(1, -(-size // _HEADER_COVERS))
    data = (block + headers) % log.blocks
    operation = log.read(log.start + data * SECTOR, _FLAGS_AT + 1)
    return len(operation) > _FLAGS_AT and operations == 1 and bool(operation[_FLAGS_AT] & _UNMOUNT)
