"""Facts: what follows from them for the disk that an import makes."""

from __future__ import annotations

import pytest

from imsprep.bitmap.facts import BitmapFacts
from imsprep.checks.facts import Facts
from imsprep.image import formats
from imsprep.ims.request import RequestFields
from imsprep.units import GIB, MIB

NONE = BitmapFacts("disk.mf", None, None)  # there is no bitmap


def facts(**values: object) -> Facts:
    return Facts("disk.raw", 5 * MIB, **values)


def test_a_file_is_raw_until_something_else_matches() -> None:
    assert facts().is_raw
    assert facts().format == formats.RAW


def test_a_command_names_the_path_and_else_the_name() -> None:
    assert facts().file == "disk.raw"
    assert facts(path="images/disk.raw").file == "images/disk.raw"


def test_what_is_packed_has_no_bitmap_and_whole_gib() -> None:
    before = facts(virtual_size=5 * MIB, bitmap=NONE)
    packed = before.packed()
    assert (packed.bitmap, packed.to_be_packed) == (None, True)
    assert (packed.virtual_size, packed.source_size) == (GIB, 5 * MIB)
    assert packed.packed() == packed, "not a second time"


def test_nothing_is_made_of_a_disk_that_cannot_be_read() -> None:
    packed = facts(virtual_size=5 * MIB, unread="it is encrypted").packed()
    assert (packed.to_be_packed, packed.virtual_size) == (False, 5 * MIB)


@pytest.mark.parametrize(
    ("values", "packed"),
    [
        ({"bitmap": NONE}, True),
        ({"bitmap": NONE, "importing": True}, False),
        ({"bitmap": NONE._replace(length=512)}, False),
        ({}, False),
    ],
)
def test_a_raw_disk_without_a_bitmap_would_be_packed(
    values: dict[str, object], packed: bool
) -> None:
    found = facts(virtual_size=5 * MIB, **values)
    assert found.would_be_packed is packed
    assert found.packed_size == (GIB if packed else 5 * MIB)
    assert facts(bitmap=NONE).packed_size is None, "a size that is not known"


def test_a_disk_boots_unless_the_request_says_that_it_holds_data() -> None:
    assert facts().is_system_disk
    assert not facts(request=RequestFields(type="DataImage")).is_system_disk
