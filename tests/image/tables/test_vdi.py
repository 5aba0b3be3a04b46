"""A VDI's header and block map, field by field: what is refused, and which bytes are named."""

from __future__ import annotations

import struct

import pytest

from imsprep.image.tables import vdi
from imsprep.image.tables.survey import LARGEST_DISK, Survey, SurveyError

BLOCK = 4096
MAP, DATA = 512, 1024  # where each begins; of these images
FREE, ZERO = 0xFFFFFFFF, 0xFFFFFFFE


def image(*entries: int, blocks: int = 2, **changes: int | bytes) -> bytes:
    """A dynamic disk of 4 blocks, of which `blocks` have room, laid out as block/vdi.c has it."""
    entries = (*entries, *[FREE] * 4)[:4]
    fields = {
        "text": b"<<< disk >>>", "magic": 0xBEDA107F, "version": 0x10001, "header_size": 400,
        "kind": 1, "flags": 0, "description": b"", "map": MAP, "data": DATA, "cylinders": 0,
        "heads": 0, "sectors": 0, "sector": 512, "unused": 0, "size": 4 * BLOCK, "block": BLOCK,
        "extra": 0, "count": 4, "allocated": sum(entry < ZERO for entry in entries),
        "uuid": b"0123456789abcdef", "snapshot": b"0123456789abcdef", "link": b"", "parent": b"",
    } | changes  # fmt: skip
    head = struct.pack("<64sIIIII256sIIIIIIIQIIII16s16s16s16s", *fields.values())
    table = struct.pack("<4I", *entries)
    return head.ljust(512, b"\0") + table.ljust(512, b"\0") + bytes(blocks * BLOCK)


def survey(data: bytes) -> Survey:
    return vdi.survey(lambda at, length: data[at : at + length], len(data))


HEAD, REST = (456, 56), (MAP + 16, 496)  # behind the header, and behind the map


def test_a_small_disk() -> None:
    data = image(1, FREE, 0)
    found = survey(data)
    assert (found.virtual_size, found.least_gap, found.has_check) == (4 * BLOCK, BLOCK, True)
    assert found.notes == ()
    assert found.ledger.gaps(1) == [HEAD, REST]
    lost = survey(image(0))
    assert lost.ledger.gaps(1) == [HEAD, REST, (DATA + BLOCK, BLOCK)]
    assert lost.ledger.gaps(lost.least_gap or 1) == [(DATA + BLOCK, BLOCK)]
    assert survey(image(kind=2)).virtual_size == 4 * BLOCK
    assert survey(image(ZERO, 0)).ledger.gaps(1)[2:] == [(DATA + BLOCK, BLOCK)]


def test_the_last_block_ends_with_the_disk() -> None:
    data = image(FREE, FREE, FREE, 1, size=3 * BLOCK + 9)
    assert survey(data).ledger.gaps(1) == [
        HEAD,
        (MAP + 16, 496 + BLOCK),
        (DATA + BLOCK + 9, BLOCK - 9),
    ]
    assert survey(data[: 9 - BLOCK])
    with pytest.raises(SurveyError, match="cut short"):
        survey(data[: 8 - BLOCK])
    with pytest.raises(SurveyError, match="cut short"):
        survey(image(1, FREE, 0)[:-1])


ID = bytes(15) + b"\1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (image(magic=0xBEDA107E), r"signature 0xbeda107e, version 0x10001 \(at byte 64\)"),
        (image(version=0x10002), "version 0x10002"),
        (image(kind=0), "of type 0, which is not known"),
        (image(kind=3), "it is an undo disk of VirtualBox"),
        (image(kind=4), "it needs a parent, which holds the rest$"),
        (image(kind=5), "of type 5, which is not known"),
        (image(size=0, count=0), r"a disk of 0 bytes \(at byte 368\)"),
        (image(size=LARGEST_DISK + 1), "a disk of"),
        (image(link=ID), "the rest of its disk"),
        (image(parent=ID), "the rest of its disk"),
        (image(sector=513), r"sectors of 513 bytes, blocks of 4096 \(at byte 360\)"),
        (image(block=0), "blocks of 0"),
        (image(count=5), r"5 blocks of 4096 bytes for a disk of 16384 \(at byte 368\)"),
        (image(count=3), "3 blocks of 4096"),
        (image(size=4 * BLOCK + 1), "for a disk of 16385"),
        (image(size=3 * BLOCK), "for a disk of 12288"),
        (image(block=2 * BLOCK), "4 blocks of 8192"),
        (image(extra=1), "extra data in front"),
        (image(map=MAP + 1), r"between sectors \(at byte 340\)"),
        (image(data=DATA + 256), "between sectors"),
        (image(0, allocated=2), r"counts 2 blocks, its map names 1 \(at byte 512\)"),
        (image(0, 1, allocated=1), "counts 1 blocks, its map names 2"),
        (image(1, 1), r"names a block twice, or one after the last \(at byte 512\)"),
        (image(4, blocks=5), "names a block twice, or one after the last"),
        (image(0xFFFFFFFD), "names a block twice, or one after the last"),
        (image(2), "cut short"),
        (image(0, data=MAP), "the block map and a block lie over each other"),
        (image(0, data=0), "the header and a block lie over each other"),
        (image(map=1 << 31), "cut short"),
        (image(blocks=0)[:455], "cut short"),
        (image(blocks=0)[:527], "cut short"),
    ],
)
def test_what_cannot_be_right_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(SurveyError, match=words):
        survey(data)


def test_an_error_says_what_helps() -> None:
    for data in (image(kind=4), image(parent=ID), image(extra=1)):
        with pytest.raises(SurveyError) as caught:
            survey(data)
        assert "VBoxManage clonemedium" in caught.value.advice
