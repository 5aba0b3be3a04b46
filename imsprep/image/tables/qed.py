"""QED: header, L1 and L2 tables. Source: docs/interop/qed_spec.rst of QEMU; little-endian."""

from __future__ import annotations

import struct

import numpy as np

from imsprep.image.tables.survey import (
    CLOSE,
    FLATTEN,
    Ledger,
    Read,
    Survey,
    SurveyError,
    check_size,
    damaged,
    entries,
    is_power_of_two,
    needed,
    table,
)
from imsprep.units import KIB, MIB

_HEADER = struct.Struct("<4sIIIQQQQQ")
_BACKING, _NEED_CHECK, _NO_PROBE = 1, 2, 4
_ZERO = 1  # an entry of an L2 table: a cluster of zeros


def survey(read: Read, size: int) -> Survey:
    """Read the tables of a QED; raises FormatError if they cannot be right."""
    head = _HEADER.unpack(table(read, size, 0, _HEADER.size))
    _, cluster, table_clusters, header, features, _, _, l1_offset, virtual = head
    if features & _BACKING:
        raise SurveyError("it needs a backing file, which holds the rest of its disk", FLATTEN)
    if features & _NEED_CHECK:
        raise SurveyError("it was not closed (it is marked to be checked)", CLOSE)
    if features & ~(_BACKING | _NEED_CHECK | _NO_PROBE):
        raise SurveyError(f"it needs features of QED that are not known here ({features:#x})")
    check_size(virtual, 48)
    if not is_power_of_two(cluster, 4 * KIB, 64 * MIB) or not is_power_of_two(
        table_clusters, 1, 16
    ):
        raise damaged(f"clusters of {cluster} bytes, tables of {table_clusters} clusters", 4)
    length = cluster * table_clusters
    ledger = Ledger(size)
    ledger.add(0, header * cluster, "the header")
    ledger.add(l1_offset, length, "the L1 table")
    per_table = length // 8
    l1 = entries(table(read, size, l1_offset, length), "<u8")
    used = np.flatnonzero(l1)
    if l1_offset % cluster or np.any(l1[used] % cluster):
        raise damaged("its L1 table points between clusters", l1_offset)
    if len(np.unique(l1[used])) != len(used):
        raise damaged("two entries of its L1 table are the same", l1_offset)
    ledger.add_all(l1[used], length, "an L2 table")
    for number, offset in zip(used, l1[used], strict=True):
        l2 = entries(table(read, size, int(offset), length), "<u8")
        clusters = int(number) * per_table + np.arange(per_table)
        wanted = needed(clusters, cluster, virtual)
        stored = l2 > _ZERO
        if np.any(l2[stored] % cluster) or np.any(l2[wanted == 0]):
            raise damaged("an entry of an L2 table that no program writes", int(offset))
        ledger.add_all(l2[stored], wanted[stored], "a cluster")
    ledger.check_apart()
    return Survey(virtual, ledger, has_check=True)
