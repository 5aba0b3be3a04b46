"""Layouts: which contradict themselves, and how they are put into words."""

from __future__ import annotations

from typing import Any

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
    state_of,
    unseen,
)
from imsprep.errors import UsageError
from imsprep.units import GIB, MIB

START = Number("start", "le", 4)


@pytest.mark.parametrize(
    ("blocks", "allocated", "state"),
    [(0, 0, "none"), (1, 0, "none"), (1, 1, "all"), (2, 1, "one"), (3, 2, "some"), (3, 3, "all")],
)
def test_the_states_of_a_disk(blocks: int, allocated: int, state: str) -> None:
    assert state_of(blocks, allocated) == state


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


def test_a_learned_layout_is_used_only_where_it_was_seen() -> None:
    seen = (Match("", 8, 61 * MIB), Match("", 9, 173 * GIB, "one"))
    layout = BitmapLayout(2 * MIB, matched=seen)
    for size in (61 * MIB, GIB, 173 * GIB):
        assert unseen(layout, size, "some") is None
        assert unseen(layout, size, "one") is None
        assert "with no data" in str(unseen(layout, size, "none"))
        assert "with data in every block" in str(unseen(layout, size, "all"))
    for size in (61 * MIB - 512, 173 * GIB + 512):
        assert "from 61 MiB to 173 GiB" in str(unseen(layout, size, "some"))
    assert unseen(BitmapLayout(2 * MIB), 1, "none") is None
