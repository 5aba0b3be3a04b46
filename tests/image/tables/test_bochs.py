"""A Bochs disk: its catalog may have more entries than the disk needs, and none behind its end."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import bochs
from imsprep.image.tables.survey import SurveyError
from imsprep.units import KIB


def image(*catalog: int) -> bytes:
    """Write a disk of 16 KiB in extents of 4 KiB, the first one stored."""
    head = struct.pack(
        "<32s16s16sIIIII", b"Bochs Virtual HD Image", b"Redolog", b"Growing", 0x20000, 512,
        len(catalog), 1, 4 * KIB,
    )  # fmt: skip
    head = head.ljust(88, b"\0") + struct.pack("<Q", 16 * KIB)
    table = struct.pack(f"<{len(catalog)}I", *catalog)
    return head.ljust(512, b"\0") + table + bytes(512) + b"data" * KIB


def check(data: bytes) -> int:
    return bochs.survey(lambda at, length: data[at : at + length], len(data)).virtual_size


UNUSED = 0xFFFFFFFF


@pytest.mark.parametrize("more", [0, 1, 500])
def test_entries_behind_the_end_of_the_disk_may_be_there(more: int) -> None:
    assert check(image(0, UNUSED, UNUSED, UNUSED, *[UNUSED] * more)) == 16 * KIB


def test_what_cannot_be_right_is_refused() -> None:
    for wrong in (image(0, UNUSED, UNUSED), image(UNUSED, UNUSED, UNUSED, UNUSED, 0)):
        with pytest.raises(SurveyError, match="damaged"):
            check(wrong)
    with pytest.raises(SurveyError, match="cut short"):
        check(image(1, UNUSED, UNUSED, UNUSED))
    with pytest.raises(SurveyError, match="over each other"):
        check(image(0, 0, UNUSED, UNUSED))
