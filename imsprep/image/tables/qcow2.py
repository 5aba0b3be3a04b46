"""qcow2: the header, the tables of the active disk, and what its flags say.

Reference counts, and whether two entries name one cluster, are left to `qemu-img check`. Source:
docs/interop/qcow2.rst of QEMU, its names; numbers are big-endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imsprep.image.tables.survey import (
    CLOSE,
    DECRYPT,
    FLATTEN,
    Ledger,
    Offsets,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    table,
)
from imsprep.units import SECTOR

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_HEADER_3 = struct.Struct(">Q20xI")  # what version 3 adds, as far as it is used here
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_KNOWN = 31
_ZLIB, _ZSTD = 0, 1
_SNAPSHOTS = "it has internal snapshots; the disk as it is now is taken, none of those"

_OFFSET = np.uint64(0x00FF_FFFF_FFFF_FE00)
_L1_RESERVED = np.uint64(0x7F00_0000_0000_01FF)
_L2_RESERVED = np.uint64(0x3F00_0000_0000_01FE)
_L2_RESERVED_WITHOUT_FLAG = np.uint64(0x3F00_0000_0000_01FF)
_SUBCLUSTERS = np.uint64(0xFFFF_FFFF)  # of an entry's bitmap: those that are stored
_COMPRESSED, _ZERO = np.uint64(1 << 62), np.uint64(1)


class Header(NamedTuple):
    """What the header says. Sizes in bytes."""

    version: int
    backing: int  # where the name of the backing file is; 0: none
    cluster_bits: int
    size: int
    encrypted: int
    l1_size: int  # entries
    l1_offset: int
    features: int  # incompatible ones
    compression: int

    @property
    def cluster(self) -> int:
        """Bytes of a cluster."""
        return 1 << self.cluster_bits

    @property
    def extended(self) -> bool:
        """Whether an entry has a bitmap of 32 subclusters."""
        return bool(self.features & _EXTENDED_L2)

    @property
    def l2_entries(self) -> int:
        """Entries of an L2 table, which is a cluster."""
        return self.cluster // (16 if self.extended else 8)


def survey(read: Read, size: int) -> Survey:
    """Read the tables of a qcow2; raises FormatError if they cannot be right."""
    head = _header(read, size)
    ledger = Ledger(size)
    cluster = head.cluster
    ledger.add(head.l1_offset, head.l1_size * 8, "the L1 table")
    l1 = np.frombuffer(table(read, size, head.l1_offset, head.l1_size * 8), ">u8")
    l1 = l1.astype(np.uint64)
    used = np.flatnonzero(l1)
    if np.any(l1 & _L1_RESERVED):
        at = head.l1_offset + 8 * int(np.flatnonzero(l1 & _L1_RESERVED)[0])
        raise damaged("an entry of its L1 table has bits that no version uses", at)
    tables = (l1[used] & _OFFSET).astype(np.int64)
    if np.any(tables % cluster):
        raise damaged("an entry of its L1 table points between clusters", head.l1_offset)
    if len(np.unique(tables)) != len(tables):
        raise damaged("two entries of its L1 table are the same", head.l1_offset)
    ledger.add_all(tables, cluster, "an L2 table")
    for number, offset in zip(used, tables, strict=True):
        entries = np.frombuffer(table(read, size, int(offset), cluster), ">u8").astype(np.uint64)
        _l2_table(head, entries, int(number) * head.l2_entries, int(offset), ledger)
    notes = (_SNAPSHOTS,) if struct.unpack(">I", table(read, size, 60, 4))[0] else ()
    return Survey(head.size, ledger, notes=notes, has_check=True)


def _header(read: Read, size: int) -> Header:
    """Read the header and refuse what stands in the way of reading the disk."""
    data = table(read, size, 0, _HEADER.size)
    _, version, backing, _, bits, virtual, crypt, l1_size, l1_offset, *_ = _HEADER.unpack(data)
    if version not in (2, 3):
        raise SurveyError(f"it is a qcow2 of version {version}, and only 2 and 3 are known")
    features = compression = 0
    if version == 3:
        features, length = _HEADER_3.unpack(table(read, size, 72, _HEADER_3.size))
        if length < 104 or length % 8:
            raise damaged(f"a header of {length} bytes", 100)
        (compression,) = table(read, size, 104, 1) if length > 104 else (0,)
    head = Header(version, backing, bits, virtual, crypt, l1_size, l1_offset, features, compression)
    _check_features(head)
    check_size(virtual, 24)
    if not 9 <= bits <= 21:
        raise damaged(f"clusters of 2^{bits} bytes", 20)
    if l1_offset % head.cluster:
        raise damaged(f"its L1 table lies at byte {l1_offset}, between clusters", 40)
    least = -(-virtual // (head.cluster * head.l2_entries))
    if l1_size < least:
        raise damaged(f"an L1 table of {l1_size} entries for a disk that needs {least}", 36)
    return head


def _check_features(head: Header) -> None:
    if head.backing:
        raise SurveyError("it needs a backing file, which holds the rest of its disk", FLATTEN)
    if head.encrypted:
        raise SurveyError("it is encrypted", DECRYPT)
    if head.features & _DATA_FILE:
        raise SurveyError("its data lies in another file", FLATTEN)
    if head.features & _CORRUPT:
        raise SurveyError(
            "QEMU has marked it as corrupt: its tables contradicted each other when it was written",
            "look at it with: qemu-img check {image}, and repair a copy with -r all",
        )
    if head.features & _DIRTY:
        raise SurveyError(
            "it was not closed (it is marked as dirty): the system that wrote to it runs, or ended"
            " before its tables were whole",
            CLOSE,
        )
    if unknown := head.features & ~_KNOWN:
        raise SurveyError(
            f"it needs a feature of qcow2 that is not known here (incompatible bit"
            f" {unknown.bit_length() - 1}): it is damaged, or newer than this program",
            "convert it with the program that wrote it",
        )
    if head.compression not in (_ZLIB, _ZSTD) or bool(head.features & _COMPRESSION) != bool(
        head.compression
    ):
        raise damaged(f"compression of type {head.compression}", 104)


def _l2_table(head: Header, words: NDArray[np.uint64], first: int, at: int, ledger: Ledger) -> None:
    """Note what one table names; `first` is the number of its first cluster of the disk."""
    entries = words[::2] if head.extended else words
    clusters = first + np.arange(len(entries))
    packed = (entries & _COMPRESSED) != 0
    has_flag = head.version == 3 and not head.extended  # bit 0: it reads as zeros
    reserved = _L2_RESERVED if has_flag else _L2_RESERVED_WITHOUT_FLAG
    strange = ~packed & ((entries & reserved) != 0)
    plain = ~packed & ((entries & _OFFSET) != 0)
    offsets = (entries & _OFFSET).astype(np.int64)
    if strange.any() or np.any(offsets[plain] % head.cluster):
        raise damaged("an entry of an L2 table that no program writes", at)
    if np.any(entries[clusters * head.cluster >= head.size]):
        raise damaged("an L2 table has entries beyond the end of the disk", at)
    if head.extended and _contradict(words, plain):
        raise damaged("a subcluster is both stored and zero, or stored nowhere", at)
    ledger.add_all(offsets[plain], _read_of(head, words, clusters)[plain], "a cluster")
    bits = 62 - (head.cluster_bits - 8)
    begin = (entries[packed] & np.uint64((1 << bits) - 1)).astype(np.int64)
    sectors = (entries[packed] & np.uint64((1 << 62) - 1)) >> np.uint64(bits)
    stop = begin // SECTOR * SECTOR + (sectors.astype(np.int64) + 1) * SECTOR
    # Some writers end the file with the last compressed byte, not with its sector.
    short = np.where(stop > ledger.size, np.minimum(stop - ledger.size, SECTOR - 1), 0)
    ledger.add_all(begin, stop - begin - short, "a compressed cluster")


def _contradict(words: NDArray[np.uint64], plain: NDArray[np.bool_]) -> bool:
    """Return whether a subcluster is both stored and zero, or stored where no cluster is."""
    stored, zero = words[1::2] & _SUBCLUSTERS, words[1::2] >> np.uint64(32)
    return bool(np.any(stored & zero) or np.any(stored[~plain & (words[::2] == 0)]))


def _read_of(head: Header, words: NDArray[np.uint64], clusters: Offsets) -> Offsets:
    """Return how many bytes are read of each cluster that is stored as it is."""
    length = np.clip(head.size - clusters * head.cluster, 0, head.cluster)
    if head.extended:
        stored = words[1::2] & _SUBCLUSTERS
        last = np.frexp(stored.astype(np.float64))[1].astype(np.int64)  # subclusters to the last
        length = np.minimum(length, last * (head.cluster // 32))
    elif head.version == 3:
        length = np.where(words & _ZERO, 0, length)
    return length
