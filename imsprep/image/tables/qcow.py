"""qcow, version 1: header, L1 and L2 tables. It has no counts, so that a lost entry shows as a gap.

Source: block/qcow.c of QEMU (MIT), which wrote all of them; numbers are big-endian.
"""

from __future__ import annotations

import struct

import numpy as np

from imsprep.image.tables.survey import (
    DECRYPT,
    FLATTEN,
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    entries,
    needed,
    table,
)

_HEADER = struct.Struct(">4sIQIIQBBHIQ")
_PACKED = 1 << 63


def survey(read: Read, size: int) -> Survey:
    """Read the tables of a qcow; raises FormatError if they cannot be right."""
    head = _HEADER.unpack(table(read, size, 0, _HEADER.size))
    _, _, backing, _, _, virtual, cluster_bits, l2_bits, _, crypt, l1_offset = head
    if backing:
        raise SurveyError("it needs a backing file, which holds the rest of its disk", FLATTEN)
    if crypt:
        raise SurveyError("it is encrypted", DECRYPT)
    check_size(virtual, 24)
    if not 9 <= cluster_bits <= 16 or not 6 <= l2_bits <= 13:
        raise damaged(f"clusters of 2^{cluster_bits} bytes, tables of 2^{l2_bits} entries", 32)
    cluster, per_table = 1 << cluster_bits, 1 << l2_bits
    count = -(-virtual // (cluster * per_table))
    ledger = Ledger(size)
    ledger.add(0, _HEADER.size, "the header")
    ledger.add(l1_offset, count * 8, "the L1 table")
    l1 = entries(table(read, size, l1_offset, count * 8), ">u8")
    used = np.flatnonzero(l1)
    if len(np.unique(l1[used])) != len(used):
        raise damaged("two entries of its L1 table are the same", l1_offset)
    ledger.add_all(l1[used], per_table * 8, "an L2 table")
    for number, offset in zip(used, l1[used], strict=True):
        words = np.frombuffer(table(read, size, int(offset), per_table * 8), ">u8")
        words = words.astype(np.uint64)
        clusters = int(number) * per_table + np.arange(per_table)
        length = needed(clusters, cluster, virtual)
        if np.any(words[length == 0]):
            raise damaged("an L2 table has entries beyond the end of the disk", int(offset))
        packed = (words & np.uint64(_PACKED)) != 0
        plain = ~packed & (words != 0)
        begin = (words[packed] & np.uint64((1 << (63 - cluster_bits)) - 1)).astype(np.int64)
        stored = (words[packed] >> np.uint64(63 - cluster_bits)) & np.uint64(cluster - 1)
        ledger.add_all(begin, stored.astype(np.int64), "a compressed cluster")
        if np.any(words[plain] % np.uint64(512)):
            raise damaged("an entry of an L2 table points between sectors", int(offset))
        ledger.add_all(words[plain].astype(np.int64), length[plain], "a cluster")
    ledger.check_apart()
    return Survey(virtual, ledger, least_gap=1)
