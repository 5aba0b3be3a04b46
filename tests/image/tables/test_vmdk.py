"""The header of a VMDK, field by field."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import vmdk
from imsprep.image.tables.ledger import SurveyError

# Virtual Disk Format 5.0 (VMware, 2011), "SparseExtentHeader"; sizes and places in sectors.
FIELDS = {
    "magic": b"KDMV", "version": 1, "flags": 3, "capacity": 4096, "grain": 128, "descriptor": 1,
    "descriptor_size": 20, "entries": 512, "spare": 21, "directory": 26, "overhead": 128,
    "unclean": 0, "line_ends": b"\n \r\n", "compression": 0,
}  # fmt: skip


FORM = "<4sIIQQQQIQQQB4sH"


def head(**changes: object) -> vmdk.Header:
    data = struct.pack(FORM, *(FIELDS | changes).values()).ljust(1 << 17, b"\0")
    return vmdk.header(lambda o, n: data[o : o + n], len(data))


def test_the_header_of_a_streamed_image_is_its_footer() -> None:
    """It stands in front of the mark of the end, 1024 bytes before the end of the file."""
    front = struct.pack(FORM, *(FIELDS | {"directory": 2**64 - 1}).values()).ljust(4096, b"\0")
    back = struct.pack(FORM, *(FIELDS | {"directory": 77}).values()).ljust(512, b"\0")
    data = front + back + bytes(512)
    assert vmdk.header(lambda o, n: data[o : o + n], len(data)).directory == 77
    for cut in (data[:-512], data[:-1024]):
        with pytest.raises(SurveyError, match="ends with a footer, and there is none"):
            vmdk.header(lambda o, n, cut=cut: cut[o : o + n], len(cut))


def test_a_header_is_read() -> None:
    found = head()
    assert (found.capacity, found.grain_size, found.entries) == (4096, 128, 512)
    for version in (1, 2, 3):
        head(version=version)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"line_ends": b"\n \n\n"}, "as text"),
        ({"version": 0}, "version 0"),
        ({"version": 4}, "version 4"),
        ({"capacity": 0}, "a disk of 0 sectors"),
        ({"grain": 0}, "grains of 0"),
        ({"grain": 127}, "grains of 127"),
        ({"entries": 0}, "tables of 0"),
        ({"entries": 4097}, "tables of 4097"),
        ({"compression": 1}, "compression of type 1"),
        ({"flags": 0x10003, "compression": 2}, "compression of type 2"),
    ],
)
def test_a_header_that_no_program_writes_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        head(**changes)
