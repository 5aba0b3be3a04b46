"""A QED's header and tables, field by field: what is refused, and which bytes each entry names."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import qed
from imsprep.image.tables.survey import CLOSE, FLATTEN, Survey, SurveyError

CLUSTER = 4096  # the least that there is; a table is one cluster
L1, L2, DATA = CLUSTER, 2 * CLUSTER, 3 * CLUSTER
DISK = 512 * CLUSTER  # of one L2 table


def image(*entries: int, l1: tuple[int, ...] = (L2,), clusters: int = 2, **changes: int) -> bytes:
    """An image: header, L1 table, one L2 table, data; a cluster each."""
    fields = {
        "cluster": CLUSTER, "table_clusters": 1, "header": 1, "features": 0, "compatible": 0,
        "autoclear": 0, "l1_offset": L1, "size": DISK,
    } | changes  # fmt: skip
    pieces = [
        struct.pack("<4sIIIQQQQQ", b"QED\0", *fields.values()),
        struct.pack(f"<{len(l1)}Q", *l1),
        struct.pack(f"<{len(entries)}Q", *entries),
    ]
    return b"".join(piece.ljust(CLUSTER, b"\0") for piece in pieces) + bytes(clusters * CLUSTER)


def survey(data: bytes) -> Survey:
    return qed.survey(lambda at, length: data[at : at + length], len(data))


def test_what_no_table_names_is_a_gap_and_zeros_are_named_without_a_place() -> None:
    found = survey(image(DATA, 1))
    assert (found.virtual_size, found.least_gap, found.has_check) == (DISK, None, True)
    assert found.ledger.gaps(1) == [(DATA + CLUSTER, CLUSTER)]


@pytest.mark.parametrize(
    ("features", "advice", "said"),
    [(1, FLATTEN, "backing file"), (2, CLOSE, "not closed"), (8, "", "not known here")],
)
def test_a_feature_says_what_helps(features: int, advice: str, said: str) -> None:
    with pytest.raises(SurveyError, match=said) as told:
        survey(image(features=features))
    assert told.value.advice == advice


def test_that_it_is_no_raw_image_is_no_feature_to_refuse() -> None:
    assert survey(image(DATA, features=4)).virtual_size == DISK


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": 0}, "a disk of 0 bytes"),
        ({"cluster": CLUSTER + 1}, "clusters of 4097 bytes"),
        ({"cluster": 2048}, "clusters of 2048 bytes"),
        ({"table_clusters": 3}, "tables of 3 clusters"),
        ({"table_clusters": 32}, "tables of 32 clusters"),
        ({"l1_offset": L1 + 8}, "between clusters"),
        ({"l1": (L2 + 512,)}, "between clusters"),
        ({"l1": (L2, L2)}, "are the same"),
        ({"entries": (DATA + 512,)}, "no program writes"),
        ({"size": CLUSTER, "entries": (0, DATA)}, "no program writes"),
        ({"entries": (DATA, DATA)}, "over each other"),
        ({"entries": (L1,)}, "over each other"),
        ({"entries": (DATA + 2 * CLUSTER,)}, "cut short"),
        ({"l1_offset": 1 << 50}, "cut short"),
    ],
)
def test_what_cannot_be_right_is_refused(changes: dict[str, object], said: str) -> None:
    changes = dict(changes)
    entries = changes.pop("entries", ())
    with pytest.raises(SurveyError, match=said):
        survey(image(*entries, **changes))
