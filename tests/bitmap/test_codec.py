"""Bitmap files by a layout: golden bytes made by hand, and the way there and back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from bitarray import bitarray
from hypothesis import given
from hypothesis import strategies as st

from imsprep.bitmap.codec import decode, encode
from imsprep.bitmap.layout import (
    BitmapLayout,
    Bits,
    Cells,
    Checksum,
    Constant,
    Entries,
    Field,
    Match,
    Number,
    Padding,
)
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from tests.support.bitmap.layouts import block_maps, layouts

B = 512
# Blocks 0, 1, 4 and 9 of 10 hold data; the last one is short.
MAP = BlockMap.from_flags(10 * B - 12, B, np.array([1, 1, 0, 0, 1, 0, 0, 0, 0, 1], dtype=bool))
START, LENGTH = Number("start", "le", 2), Number("length", "le", 2)
TEXT = (
    Number("start", "decimal", 0),
    Constant(b"-"),
    Number("last", "decimal", 0),
    Constant(b"\n"),
)

GOLDEN = [
    (BitmapLayout(B), "13 02"),
    (BitmapLayout(B, Bits("msb")), "c8 40"),
    (BitmapLayout(B, Bits(data_bit=0)), "ec 01"),
    (BitmapLayout(B, Bits(data_bit=0, spare_bit=1)), "ec fd"),
    (BitmapLayout(B, Bits(word=4)), "00 00 02 13"),
    (BitmapLayout(B, Bits("msb", word=8)), "00 00 00 00 00 00 40 c8"),
    (BitmapLayout(B, Cells()), "01 01 00 00 01 00 00 00 00 01"),
    (BitmapLayout(B, Cells(b"1", b"0", b",")), b"1,1,0,0,1,0,0,0,0,1".hex()),
    (BitmapLayout(B, Entries((START, LENGTH))), "0000 0200 0400 0100 0900 0100"),
    (BitmapLayout(B, Entries((START,), "block")), "0000 0100 0400 0900"),
    (BitmapLayout(B, Entries((START, LENGTH), of="empty")), "0200 0200 0500 0400"),
    (BitmapLayout(B, Entries(TEXT)), b"0-1\n4-4\n9-9\n".hex()),
    (
        BitmapLayout(B, Entries((Number("start", "be", 4, "byte"), Number("end", "be", 4, "byte")))),
        "00000000 00000400 00000800 00000a00 00001200 000013f4",
    ),
    (
        BitmapLayout(
            B,
            header=(Constant(b"MF"), Number("image_size", "be", 4), Number("data_blocks", "le", 2)),
            trailer=(Constant(b"\xff"),),
            padding=Padding(4),
        ),
        "4d46 000013f4 0400 1302 0000 ff",
    ),
    (BitmapLayout(B, padding=Padding(8, "file", 0xAA), header=(Constant(b"abc"),)), "616263 1302 aaaaaa"),
    (BitmapLayout(B, trailer=(Checksum("sum", "body", "le", 2),)), "1302 1500"),
    (BitmapLayout(B, header=(Checksum("inverted-sum", "file", "be", 4),)), "ffffffea 1302"),
    (
        BitmapLayout(B, header=(Checksum("crc32", "after", "le"),), trailer=(Constant(b"x"),)),
        zlib.crc32(b"\x13\x02x").to_bytes(4, "little").hex() + "1302 78",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("layout", "golden"), GOLDEN)
def test_a_known_map_has_known_bytes_and_is_read_from_them(
    layout: BitmapLayout, golden: str
) -> None:
    data = bytes.fromhex(golden)
    assert encode(MAP, layout) == data
    assert decode(data, MAP.size, layout) == MAP


@pytest.mark.parametrize(
    ("body", "golden"),
    [(Bits(trim=True), "01"), (Bits(trim=True, word=2), "0001"), (Bits(), "01 00 00")],
)
def test_words_without_a_set_bit_are_left_out_from_the_end(body: Bits, golden: str) -> None:
    flags = np.zeros(20, dtype=bool)
    flags[0] = True
    made = BlockMap.from_flags(20 * B, B, flags)
    layout = BitmapLayout(B, body)
    assert encode(made, layout).hex(" ") == bytes.fromhex(golden).hex(" ")
    assert decode(bytes.fromhex(golden), 20 * B, layout) == made


@given(st.data())
def test_what_was_encoded_is_decoded_to_the_same_map(data: st.DataObject) -> None:
    layout = data.draw(layouts())
    made = data.draw(block_maps(layout.block_size))
    file = encode(made, layout)
    if file in (encode(other, layout) for other in neighbours(made)):
        with pytest.raises(FormatError, match="may be an entry or padding"):
            decode(file, made.size, layout)
    else:
        assert decode(file, made.size, layout) == made


def neighbours(block_map: BlockMap) -> Iterator[BlockMap]:
    """Yield every map that differs in one block."""
    for block in range(len(block_map)):
        flags = block_map.flags().copy()
        flags[block] ^= True
        yield BlockMap.from_flags(block_map.size, block_map.block_size, flags)


@pytest.mark.parametrize(
    ("header", "padding", "marked", "is_clear"),
    [
        ((), Padding(6, fill=1), [1], False),  # 0101 is block 257, or padding
        ((), Padding(6, fill=1), [1, 257], False),
        ((), Padding(6, fill=1), [257], True),
        ((), Padding(6, fill=1), [1, 2], False),
        ((), Padding(6, fill=1), [1, 2, 3], True),
        ((Constant(b"x"),), Padding(6, "file"), [], False),  # 0000 is block 0, or padding
        ((Constant(b"x"),), Padding(6, "file"), [0], False),
        ((Constant(b"x"),), Padding(6, "file"), [1], True),
        ((Number("entries", "le", 1),), Padding(6, "file"), [0], True),
        ((Number("entries", "le", 1),), Padding(6, "file", 1), [1], True),
    ],
)
def test_what_may_be_an_entry_or_padding_is_not_guessed_at(
    header: tuple[Field, ...], padding: Padding, marked: list[int], is_clear: bool
) -> None:
    body = Entries((Number("start", "le", 2),), "block")
    layout = BitmapLayout(B, body, header, padding=padding)
    flags = np.zeros(258, dtype=bool)
    flags[marked] = True
    made = BlockMap.from_flags(258 * B, B, flags)
    file = encode(made, layout)
    assert (file in (encode(other, layout) for other in neighbours(made))) is not is_clear
    if is_clear:
        assert decode(file, made.size, layout) == made
    else:
        with pytest.raises(FormatError, match="may be an entry or padding"):
            decode(file, made.size, layout)


@given(st.data())
def test_a_file_that_was_changed_is_refused_or_says_another_map_completely(
    data: st.DataObject,
) -> None:
    layout = data.draw(layouts())
    made = data.draw(block_maps(layout.block_size))
    file = bytearray(encode(made, layout))
    if not file:
        return
    place = data.draw(st.integers(0, len(file) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    if how == "flip":
        file[place] ^= 1 << data.draw(st.integers(0, 7))
    elif how == "cut":
        del file[place:]
    else:
        file.insert(place, data.draw(st.integers(0, 255)))
    try:
        read = decode(bytes(file), made.size, layout)
    except FormatError:
        return
    assert encode(read, layout) == file


@given(st.binary(max_size=80), st.integers(0, 100 * B))
def test_garbage_is_a_format_error_and_nothing_else(garbage: bytes, size: int) -> None:
    for layout, _ in GOLDEN:
        try:
            read = decode(garbage, size, layout)
        except FormatError:
            continue
        assert encode(read, layout) == garbage


def test_a_finer_map_is_made_coarser() -> None:
    layout = BitmapLayout(4 * B)
    assert encode(MAP, layout) == bytes([0b111])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("13", "a bitmap of 10 blocks has 2 bytes, this one 1"),
        ("13 02 00", "a bitmap of 10 blocks has 2 bytes, this one 3"),
        ("13 06", r"beyond the end of the disk \(at byte 1\)"),
    ],
)
def test_a_bitmap_of_the_default_layout_that_does_not_fit_says_why(data: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        decode(bytes.fromhex(data), MAP.size, BitmapLayout(B))


def test_a_header_that_names_another_image_size_says_so() -> None:
    layout = BitmapLayout(B, header=(Constant(b"x"), Number("image_size", "le", 4)))
    with pytest.raises(FormatError, match=r"image_size is 5108, the image's 512 \(at byte 1\)"):
        decode(encode(MAP, layout), 512, layout)


def test_a_number_that_does_not_fit_its_field_is_refused() -> None:
    with pytest.raises(FormatError, match="image_size is 5108, too much for 1 bytes"):
        encode(MAP, BitmapLayout(B, header=(Number("image_size", "le", 1),)))


def test_a_file_may_be_its_trailer_alone() -> None:
    layout = BitmapLayout(B, trailer=(Constant(b"the end"),))
    none = BlockMap(0, B, bitarray())
    assert encode(none, layout) == b"the end"
    assert decode(b"the end", 0, layout) == none


def test_a_learned_layout_makes_nothing_of_a_disk_that_it_was_not_seen_for() -> None:
    layout = BitmapLayout(B, name="theirs", matched=(Match("", 2, MAP.size),))
    with pytest.raises(FormatError, match="the layout 'theirs' was learned, and may not hold here"):
        encode(MAP, layout)
