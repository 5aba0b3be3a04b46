"""Layouts: which contradict themselves, and how they are put into words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imsprep.bitmap.layout import (
    BitmapLayout,
    Bits,
    Cells,
    Checksum,
    Constant,
    Entries,
    Match,
    Number,
    Padding,
    Shape,
    shape_of,
    unseen,
)
from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB

START = Number("start", "le", 4)


EXTENTS = Entries((START, Number("length")))
BLOCKS = Entries((START,), each="block", of="empty")


def block_map(text: str, size: int | None = None) -> BlockMap:
    """A map of blocks of 512 bytes, a digit for each."""
    flags = np.array([digit == "1" for digit in text], dtype=bool)
    return BlockMap.from_flags(512 * len(text) if size is None else size, 512, flags)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", Shape("none")),
        ("0", Shape("none")),
        ("1", Shape("all", True, True, True, True, 1, 1)),
        ("01", Shape("one", False, False, True, True, 1, 1)),
        ("10", Shape("one", False, True, False, True, 1, 1)),
        ("0110", Shape("some", False, False, False, True, 1, 2)),
        ("11101", Shape("some", True, True, True, True, 2, 3)),
        ("11", Shape("all", True, True, True, True, 1, 2)),
    ],
)
def test_the_shape_of_a_disk(text: str, shape: Shape) -> None:
    assert shape_of(block_map(text), EXTENTS) == shape
    assert shape_of(block_map(text), Bits()) == shape._replace(entries=0, longest=0)
    empty = text.count("0")
    assert shape_of(block_map(text), BLOCKS)[5:] == (empty, min(1, empty))


def test_a_disk_of_no_whole_blocks_ends_in_a_short_one() -> None:
    for size, whole in ((1024, True), (1023, False), (513, False)):
        assert shape_of(block_map("01", size), Bits()).whole is whole


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (Bits(), "one bit per block, least significant first, 1 = data"),
        (
            Bits(bit_order="msb", data_bit=0, word=4, spare_bit=1),
            "one bit per block, most significant first, 0 = data, in reversed words of 4 bytes,"
            " spare bits set",
        ),
        (
            Bits(trim=True),
            "one bit per block, least significant first, 1 = data, without its empty end",
        ),
        (Cells(b"1", b"0"), "b'1' per block with data, b'0' per empty one"),
        (Cells(b"1", b"0", b","), "b'1' per block with data, b'0' per empty one, b',' between"),
        (
            Entries((START,), each="block", of="empty", cut=False),
            "for each block without data: start in blocks (le 4), whole blocks even at the end of"
            " the disk",
        ),
    ],
)
def test_a_body_in_words(body: Any, words: str) -> None:
    assert str(BitmapLayout(2 * MIB, body)) == f"{words} (blocks of 2 MiB)"


def test_what_stands_around_a_body_in_words() -> None:
    layout = BitmapLayout(
        2 * MIB,
        header=(Constant(b"MF01"), Constant(b"\xff" * 40), Number("image_size", "be", 8)),
        trailer=(Checksum("crc32", "body", "le", 4),),
        padding=Padding(512, "file", 7),
    )
    assert str(layout) == (
        "one bit per block, least significant first, 1 = data (blocks of 2 MiB);"
        f" header: 'MF01', {' '.join(['ff'] * 16)} …, image_size (be 8);"
        " trailer: crc32 of body (le 4); the file padded to 512 bytes with 0x07"
    )
    assert "padded" not in str(BitmapLayout(2 * MIB, padding=Padding(1, "body", 7)))
    assert "the body padded to 2 bytes" in str(BitmapLayout(2 * MIB, padding=Padding(2)))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"block_size": 0}, "whole number of sectors"),
        ({"block_size": 513}, "whole number of sectors"),
        ({"block_size": GIB + 512}, "whole number of sectors"),
        ({"padding": Padding(0)}, "multiple of bytes"),
        ({"padding": Padding(2, "body", 256)}, "256 is .* byte to fill"),
        ({"padding": Padding(2, "body", -1)}, "-1 is .* byte to fill"),
        ({"body": Bits(trim=True), "padding": Padding(2, "body", 255)}, "padded with zeros"),
        (
            {
                "body": Entries((START, Number("length", "decimal", 0))),
                "padding": Padding(2, "body", ord("7")),
            },
            "padding with digits",
        ),
        ({"body": Bits(word=3)}, "a word of 3 bytes"),
        ({"body": Cells(b"1", b"1")}, "the same bytes"),
        ({"body": Cells(b"1", b"00")}, "differ in length"),
        ({"body": Entries((START,))}, "an entry for each extent says start"),
        ({"header": (Number("image_size", "le", 0),)}, "width 0"),
        ({"header": (Number("image_size", "le", 9),)}, "width 9"),
        ({"header": (Number("start", "le", 4),)}, "number 'start'"),
        ({"trailer": (Checksum("crc32", "body", "le", 9),)}, "width 9"),
    ],
)
def test_a_layout_that_contradicts_itself_is_refused(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        BitmapLayout(**{"block_size": 2 * MIB, **options})


def test_limits_that_are_just_kept_are_no_contradiction() -> None:
    BitmapLayout(GIB)
    BitmapLayout(512, Bits(trim=True), padding=Padding(1, "body", 255))
    BitmapLayout(512, Bits(trim=True), padding=Padding(512, "body", 0))
    BitmapLayout(512, header=(Number("image_size", "be", 8), Number("image_size", "be", 1)))
    BitmapLayout(512, padding=Padding(2, "body", 255))
    BitmapLayout(512, padding=Padding(64 * MIB))
    BitmapLayout(512, header=(Number("blocks", "decimal", 20), Number("blocks", "hex", 0)))
    BitmapLayout(512, trailer=(Checksum("sum", width=1), Checksum("sum", width=8)))
    BitmapLayout(512, Cells(b"a", b"b"))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"padding": Padding(64 * MIB + 1)}, "multiple of bytes"),
        ({"header": (Number("blocks", "decimal", 21),)}, "invalid width 21"),
        ({"header": (Number("blocks", "decimal", -1),)}, "invalid width -1"),
        ({"header": (Number("blocks", "le", 0),)}, "invalid width 0"),
        ({"header": (Number("blocks", "le", 9),)}, "invalid width 9"),
        ({"header": (Number("blocks", unit="page"),)}, "unknown unit 'page'"),
        ({"trailer": (Checksum("sum", width=0),)}, "invalid width 0"),
        ({"trailer": (Checksum("sum", width=9),)}, "invalid width 9"),
        ({"body": Cells(b"", b"")}, "have the same bytes"),
        ({"body": Cells(b"a", b"")}, "differ in length"),
    ],
)
def test_limits_that_are_passed_by_one_are_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        BitmapLayout(**{"block_size": 2 * MIB, **options})


FIRST = Match("", 8, 64 * MIB, Shape("some", True, True, True, True, 3, 5))
SECOND = Match("", 9, 173 * GIB, Shape("one", False, False, False, False, 7, 2))


def test_a_learned_layout_is_used_only_where_it_was_seen() -> None:
    layout, shape = BitmapLayout(2 * MIB, matched=(FIRST, SECOND)), Shape()
    for size in (64 * MIB, GIB, 173 * GIB):
        assert unseen(layout, size, shape) is None
        assert unseen(layout, size, shape._replace(state="one")) is None
        assert "with no data" in str(unseen(layout, size, shape._replace(state="none")))
        assert "data in every block" in str(unseen(layout, size, shape._replace(state="all")))
    for size in (64 * MIB - 512, 173 * GIB + 512):
        assert "from 64 MiB to 173 GiB" in str(unseen(layout, size, shape))
    assert unseen(BitmapLayout(2 * MIB), 1, Shape("none")) is None


@pytest.mark.parametrize(
    ("shape", "by_both", "by_first"),
    [
        (Shape(most=True, first=True, last=True), "", ""),
        (Shape(most=True, first=True), "", "without data in its last block"),
        (Shape(most=True, last=True), "", "without data in its first block"),
        (Shape(first=True, last=True), "", "without data in most of its blocks"),
        (Shape(most=True, first=True, last=True, whole=False), "with a short last block of data",
         "with a short last block of data"),
        (Shape(whole=False), "", "without data in most"),
        (Shape(entries=7, longest=5), "", "without data in most"),
        (Shape(entries=8), "of up to 7 entries, and this one has 8", "without data in most"),
        (Shape(longest=6), "of up to 5 blocks, here is one of 6", "without data in most"),
    ],
)  # fmt: skip
def test_a_disk_of_another_shape_is_refused(shape: Shape, by_both: str, by_first: str) -> None:
    for matched, words in (((FIRST, SECOND), by_both), ((FIRST,), by_first)):
        why = unseen(BitmapLayout(2 * MIB, matched=matched), 64 * MIB, shape)
        assert words in str(why) if words else why is None
    short = Shape(whole=False)
    assert unseen(BitmapLayout(2 * MIB, matched=(SECOND,)), 173 * GIB, short) is None
    whole = unseen(BitmapLayout(2 * MIB, matched=(SECOND,)), 173 * GIB, Shape())
    assert "with a whole last block" in str(whole)
    assert "of data" not in str(whole)
