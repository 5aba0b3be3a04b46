"""A qcow's header and tables, field by field: what is refused, and which bytes each entry names."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import qcow
from imsprep.image.tables.survey import Survey, SurveyError

CLUSTER, TABLE = 512, 64  # bytes; entries of an L2 table
L1, L2, DATA = 512, 1024, 1536  # where each begins; of these images
PACKED = 1 << 63


def image(*entries: int, l1: tuple[int, ...] = (L2,), clusters: int = 2, **changes: int) -> bytes:
    """An image of clusters of 512 bytes: header, L1 table, one L2 table, data."""
    fields = {
        "version": 1, "backing": 0, "backing_length": 0, "time": 0, "size": TABLE * CLUSTER,
        "cluster_bits": 9, "l2_bits": 6, "padding": 0, "crypt": 0, "l1_offset": L1,
    } | changes  # fmt: skip
    header = struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", *fields.values()).ljust(512, b"\0")
    directory = struct.pack(f">{len(l1)}Q", *l1).ljust(512, b"\0")
    table = struct.pack(f">{len(entries)}Q", *entries).ljust(512, b"\0")
    return header + directory + table + bytes(clusters * CLUSTER)


def survey(data: bytes) -> Survey:
    return qcow.survey(lambda at, length: data[at : at + length], len(data))


def test_what_no_table_names_is_a_gap() -> None:
    found = survey(image(DATA))
    assert (found.virtual_size, found.least_gap) == (TABLE * CLUSTER, 1)
    assert (DATA + CLUSTER, CLUSTER) in found.ledger.gaps(1)
    assert (DATA, CLUSTER) not in found.ledger.gaps(1)


def test_a_compressed_cluster_names_its_own_length() -> None:
    packed = PACKED | 100 << (63 - 9) | DATA
    assert (DATA + 100, 2 * CLUSTER - 100) in survey(image(packed)).ledger.gaps(1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backing": 48}, "backing file"),
        ({"crypt": 1}, "encrypted"),
        ({"size": 0}, "a disk of 0 bytes"),
        ({"cluster_bits": 8}, r"clusters of 2\^8 bytes"),
        ({"cluster_bits": 17}, r"clusters of 2\^17 bytes"),
        ({"l2_bits": 14}, r"tables of 2\^14 entries"),
        ({"l1_offset": 1 << 40}, "cut short"),
        ({"l1": (0, 0), "size": 2 * TABLE * CLUSTER, "l1_offset": 2552}, "cut short"),
        ({"l1": (L2, L2), "size": 2 * TABLE * CLUSTER}, "are the same"),
        ({"size": CLUSTER, "entries": (0, DATA)}, "beyond the end"),
        ({"entries": (DATA + 1,)}, "between sectors"),
        ({"entries": (DATA, DATA)}, "over each other"),
        ({"entries": (DATA + 2 * CLUSTER,)}, "cut short"),
        ({"entries": (L1,)}, "over each other"),
    ],
)
def test_what_cannot_be_right_is_refused(changes: dict[str, object], said: str) -> None:
    changes = dict(changes)
    entries = changes.pop("entries", ())
    with pytest.raises(SurveyError, match=said):
        survey(image(*entries, **changes))
