"""Header, padding and trailer around a body: what is recognised, and what may be chance."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from imsprep.bitmap.layout import Bits, Checksum, Constant, Field, Number, Padding
from imsprep.bitmap.learn import fields
from imsprep.bitmap.learn.bodies import BodyMatch
from imsprep.bitmap.learn.fields import CERTAIN, layouts_around
from imsprep.image.blockmap import BlockMap

B = 4096
BLOCKS = 601  # a number that no other count of this map has
MAP = BlockMap.from_flags(BLOCKS * B, B, np.arange(BLOCKS) % 3 == 1)
BODY = np.packbits(np.arange(BLOCKS) % 3 == 1, bitorder="little").tobytes()

Fields = tuple[Field, ...]


def around(before: bytes, behind: bytes = b"") -> list[tuple[Fields, ...]]:
    """Header and trailer of each layout without padding."""
    match = BodyMatch(MAP, Bits(), len(before), len(before) + len(BODY))
    found = layouts_around(before + BODY + behind, match)
    return [(one.header, one.trailer) for one in found if one.padding == Padding()]


def test_a_body_alone_has_neither_header_nor_trailer() -> None:
    match = BodyMatch(MAP, Bits(), 0, len(BODY))
    (found,) = layouts_around(BODY, match)
    assert (found.block_size, found.body, found.header, found.trailer, found.padding) == (
        B, Bits(), (), (), Padding(),
    )  # fmt: skip


@pytest.mark.parametrize(("data", "field"), [
    (struct.pack("<I", BLOCKS), Number("blocks", "le", 4)),
    (struct.pack(">Q", BLOCKS * B), Number("image_size", "be", 8)),
    (struct.pack("<I", BLOCKS * 8), Number("image_sectors", "le", 4)),
    (struct.pack(">I", BLOCKS - 200), Number("empty_blocks", "be", 4)),
    (b"%d" % BLOCKS, Number("blocks", "decimal", 0)),
    (b"%08d" % BLOCKS, Number("blocks", "decimal", 8)),
    (b"%x" % (BLOCKS * 8), Number("image_sectors", "hex", 0)),
    (b"%X" % (BLOCKS * 8), Number("image_sectors", "HEX", 0)),
])  # fmt: skip
def test_a_number_that_is_known_is_recognised_in_every_form(data: bytes, field: Number) -> None:
    assert around(b"BM:" + data + b";") == [((Constant(b"BM:"), field, Constant(b";")), ())]
    assert around(b"", data) == [((), (field,))]


def test_a_small_number_or_one_of_two_bytes_may_be_chance() -> None:
    assert BLOCKS > CERTAIN
    short = struct.pack("<H", BLOCKS)
    assert around(short) == [((Number("blocks", "le", 2),), ()), ((Constant(short),), ())]
    small = struct.pack("<I", B // 512)  # sectors of a block
    assert around(small) == [((Number("block_sectors", "le", 4),), ()), ((Constant(small),), ())]


def test_a_run_of_digits_counts_as_a_whole() -> None:
    assert around(b"1%d" % BLOCKS) == [((Constant(b"1%d" % BLOCKS),), ())]
    assert around(b"%d1" % BLOCKS) == [((Constant(b"%d1" % BLOCKS),), ())]


@pytest.mark.parametrize(("over", "before"), [("body", b""), ("before", b"BM")])
def test_a_checksum_says_over_what_it_is(over: str, before: bytes) -> None:
    value = zlib.crc32(BODY if over == "body" else before + BODY)
    ((header, trailer),) = around(before, struct.pack(">I", value))
    assert header == ((Constant(before),) if before else ())
    assert trailer == (Checksum("crc32", over, "be", 4),)


def test_a_checksum_in_the_header_is_over_what_comes_behind_it() -> None:
    value = struct.pack("<I", zlib.adler32(BODY + b"end"))
    assert around(value, b"end") == [
        ((Checksum("adler32", "after", "le", 4),), (Constant(b"end"),))
    ]


def test_a_checksum_over_the_file_takes_itself_for_zeros() -> None:
    value = zlib.crc32(b"BM" + bytes(4) + BODY)
    ((header, trailer),) = around(b"BM" + struct.pack("<I", value))
    assert (header, trailer) == ((Constant(b"BM"), Checksum("crc32", "file", "le", 4)), ())


@pytest.mark.parametrize("fill", [b"\0", b"\xff", b" "])
def test_padding_leads_to_a_multiple_of_the_body_or_of_the_file(fill: bytes) -> None:
    head = b"HEAD"
    file = head + BODY + fill * (-len(head + BODY) % 64)
    match = BodyMatch(MAP, Bits(), len(head), len(head + BODY))
    paddings = {one.padding for one in layouts_around(file, match)}
    assert {Padding(), Padding(64, "file", fill[0])} <= paddings, "it may be a constant too"
    for one in paddings - {Padding()}:
        length = len(BODY) if one.of == "body" else len(head + BODY)
        assert -length % one.multiple == -len(head + BODY) % 64


def test_neither_other_bytes_nor_those_behind_a_trimmed_body_are_padding() -> None:
    pad = -len(BODY) % 64
    for fill, body in ((b"x", Bits()), (b"\0", Bits(trim=True))):
        found = layouts_around(BODY + fill * pad, BodyMatch(MAP, body, 0, len(BODY)))
        assert {one.padding for one in found} == {Padding()}


def test_a_header_or_trailer_that_is_too_long_is_no_layout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fields, "MAX_FIELDS", 8)
    assert around(b"8 bytes.")
    assert around(b"9 bytes..") == []
    assert around(b"", b"8 bytes.")
    assert around(b"", b"9 bytes..") == []
