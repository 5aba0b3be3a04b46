"""Strategies for bitmap layouts and the block maps that go with them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from imsprep.bitmap.layout import (
    COUNTS,
    UNITS,
    BitmapLayout,
    Bits,
    Cells,
    Checksum,
    Constant,
    Entries,
    Number,
    Padding,
)
from imsprep.image.blockmap import BlockMap

BLOCK_SIZES = [512, 4096, 2 << 20]


@st.composite
def block_maps(draw: st.DrawFn, block_size: int) -> BlockMap:
    flags = np.array(draw(st.lists(st.booleans(), max_size=150)), dtype=bool)
    short = draw(st.integers(0, block_size - 1)) if len(flags) else 0
    return BlockMap.from_flags(len(flags) * block_size - short, block_size, flags)


def fields() -> st.SearchStrategy[Constant | Number | Checksum]:
    constants = st.binary(min_size=1, max_size=5).map(Constant)
    binary = st.builds(
        Number, st.sampled_from(COUNTS), st.sampled_from(["le", "be"]), st.just(8), st.just("block")
    )
    checksums = st.builds(
        Checksum,
        st.sampled_from(["crc32", "adler32", "sum", "inverted-sum"]),
        st.sampled_from(["body", "before", "after", "file"]),
        st.sampled_from(["le", "be"]),
        st.sampled_from([2, 4, 8]),
    )
    return st.one_of(constants, binary, checksums)


def text_fields() -> st.SearchStrategy[list[Constant | Number]]:
    """Numbers as text, each followed by what ends it."""
    number = st.builds(
        Number,
        st.sampled_from(COUNTS),
        st.sampled_from(["decimal", "hex", "HEX"]),
        st.integers(0, 9),
        st.just("block"),
    )
    return st.lists(number, max_size=2).map(
        lambda ns: [f for n in ns for f in (n, Constant(b"\n"))]
    )


def bodies() -> st.SearchStrategy[Bits | Cells | Entries]:
    bits = st.builds(
        Bits,
        st.sampled_from(["lsb", "msb"]),
        st.sampled_from([0, 1]),
        st.sampled_from([1, 2, 4, 8]),
        st.sampled_from([0, 1]),
        st.booleans(),
    )
    cells = st.sampled_from(
        [
            Cells(), Cells(b"\0", b"\xff"), Cells(b"1", b"0"), Cells(b"1", b"0", b","),
            Cells(b"\0\1", b"\0\0"), Cells(b"\1\0", b"\0\0", b"\0"),
        ]
    )  # fmt: skip
    return st.one_of(bits, cells, entries())


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    unit, of = draw(st.sampled_from(UNITS)), draw(st.sampled_from(["data", "empty"]))
    text = draw(st.booleans())
    form, width = (
        ("decimal", draw(st.integers(0, 9))) if text else (draw(st.sampled_from(["le", "be"])), 8)
    )
    start = Number("start", form, width, unit)
    end, separator = (
        (Constant(b";"), b"") if text else (Constant(b""), draw(st.sampled_from([b"", b"--"])))
    )
    if draw(st.booleans()):
        return Entries((start, end), "block", of, separator)
    size = Number(
        draw(st.sampled_from(["length", "end", "last"])), form, width, draw(st.sampled_from(UNITS))
    )
    return Entries((start, Constant(b":"), size, end), "extent", of, separator)


@st.composite
def layouts(draw: st.DrawFn) -> BitmapLayout:
    text, body = draw(text_fields()), draw(bodies())
    fills = [0] if isinstance(body, Bits) and body.trim else [0, 255]
    return BitmapLayout(
        block_size=draw(st.sampled_from(BLOCK_SIZES)),
        body=body,
        header=(*draw(st.lists(fields(), max_size=3)), *text),
        trailer=tuple(draw(st.lists(fields(), max_size=2))),
        padding=Padding(
            draw(st.sampled_from([1, 8, 64])),
            draw(st.sampled_from(["body", "file"])),
            draw(st.sampled_from(fills)),
        ),
    )
