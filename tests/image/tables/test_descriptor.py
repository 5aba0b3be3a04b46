"""The descriptor of a VMDK."""

from __future__ import annotations

import pytest

from imsprep.errors import FormatError
from imsprep.image.tables.descriptor import Extent, parse

TEXT = b"""# Disk DescriptorFile
version=1
parentCID=ffffffff
createType="twoGbMaxExtentSparse"

RW 4192256 SPARSE "disk-s001.vmdk"
RW 2048 FLAT "disk-f002.vmdk" 63
RDONLY 10 ZERO
ddb.adapterType = "lsilogic"
"""


def test_it_names_the_files_of_a_disk() -> None:
    found = parse(TEXT + b"\0junk behind the end")
    assert (found.create_type, found.parent) == ("twoGbMaxExtentSparse", False)
    assert found.extents == (
        Extent("RW", 4192256, "SPARSE", "disk-s001.vmdk", 0),
        Extent("RW", 2048, "FLAT", "disk-f002.vmdk", 63),
        Extent("RDONLY", 10, "ZERO", "", 0),
    )


def test_a_disk_below_this_one_is_noticed() -> None:
    assert parse(TEXT.replace(b"ffffffff", b"0a0b0c0d")).parent
    assert not parse(TEXT.replace(b"ffffffff", b"FFFFFFFF")).parent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"version=1", "does not begin with"),
        (b"# Disk DescriptorFile\n", "names no extent"),
        (TEXT.replace(b"RW 2048 FLAT", b"RW many FLAT"), "has the line 'RW many FLAT"),
        (TEXT.replace(b"2048", b"9" * 19), "has the line"),
    ],
)
def test_what_cannot_be_right_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        parse(text)
