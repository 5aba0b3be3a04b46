"""BitmapLayout: how a block map lies in a bitmap file, as a value that is saved as JSON.

A file is: header, body, padding, trailer. Header and trailer are *fields*: constant bytes, numbers
that are counted from the image or the body, checksums. The *body* has one bit per block (`Bits`),
the same bytes for each block in one state (`Cells`), or a list with an entry for each extent or
block in one state (`Entries`). Numbers are binary or text, so that one value covers both.

The vendor's byte layout is not published. `DEFAULT_LAYOUT` is the convention that Huawei published
for the bitmap inside ZVHD2; a layout that was learned carries in `matched` the files that it
reproduced, which proves nothing about others. docs/bitmap-file.md explains it all.

How a layout is applied is in `codec`, how it is saved in `layout_json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB, SECTOR, format_size

Form = Literal["le", "be", "decimal", "hex", "HEX"]
Over = Literal["body", "before", "after", "file"]
Algorithm = Literal["crc32", "adler32", "sum", "inverted-sum"]
Of = Literal["data", "empty"]
State = Literal["some", "none", "all", "one"]

# What a number may say, of the file as a whole and of one entry of a list.
COUNTS = ("image_size", "image_sectors", "block_size", "block_sectors", "blocks", "data_blocks",
          "empty_blocks", "body_size", "entries")  # fmt: skip
PLACES = ("start", "length", "end", "last")  # end: the first behind it; last: the last in it
UNITS = ("block", "sector", "byte")

MAX_BLOCK = GIB  # bytes; beyond this a bitmap says nothing
MAX_WIDTH = 20  # digits of 2^64, and more than any binary number has bytes
_MAX_PADDING = 64 * MIB
_SHOWN = 16  # bytes of a constant in words


class Constant(NamedTuple):
    """Bytes that are always the same."""

    data: bytes


class Number(NamedTuple):
    """A number that is counted; see COUNTS and PLACES."""

    what: str
    form: Form = "le"
    width: int = 8  # bytes for le and be; least digits of decimal and hex
    unit: str = "block"  # of a place


class Checksum(NamedTuple):
    """A checksum over a part of the file.

    `before` and `after` mean all bytes before or behind this field, `file` all of the file with
    this field as zeros. A sum adds bytes; the inverted sum is its one's complement, as in a VHD.
    """

    algorithm: Algorithm
    over: Over = "body"
    form: Literal["le", "be"] = "le"
    width: int = 4  # bytes


Field = Constant | Number | Checksum


@dataclass(frozen=True)
class Bits:
    """One bit per block."""

    kind: ClassVar[str] = "bits"
    bit_order: Literal["lsb", "msb"] = "lsb"  # which bit of a byte stands for the first block
    data_bit: Literal[0, 1] = 1  # the bit of a block that holds data
    word: int = 1  # bytes; of each word the bytes stand the other way round
    spare_bit: Literal[0, 1] = 0  # bits behind the last block, up to a whole word
    trim: bool = False  # leave out words without a set bit from the end


@dataclass(frozen=True)
class Cells:
    """The same bytes for every block in one state."""

    kind: ClassVar[str] = "cells"
    data: bytes = b"\1"
    empty: bytes = b"\0"
    separator: bytes = b""  # between two cells


@dataclass(frozen=True)
class Entries:
    """A list with an entry for each extent, or each block, in one state."""

    kind: ClassVar[str] = "entries"
    entry: tuple[Constant | Number, ...]
    each: Literal["extent", "block"] = "extent"
    of: Of = "data"
    separator: bytes = b""  # between two entries
    cut: bool = True  # what reaches beyond the disk's end, in sectors or bytes, is cut there


Body = Bits | Cells | Entries


@dataclass(frozen=True)
class Padding:
    """Bytes behind the body, so that a length becomes a multiple."""

    multiple: int = 1  # bytes
    of: Literal["body", "file"] = "body"  # the body's length, or the file's up to the trailer
    fill: int = 0  # the byte's value


class Shape(NamedTuple):
    """What of a disk a tool may treat in a way of its own; blocks are the layout's."""

    state: State = "some"  # how many of its blocks hold data
    most: bool = False  # whether more than half of them do
    first: bool = False  # whether the first block holds data
    last: bool = False  # whether the last one does
    whole: bool = True  # whether the last one is a whole block
    entries: int = 0  # of a list
    longest: int = 0  # blocks of the longest entry


class Match(NamedTuple):
    """A file that a layout reproduced byte for byte."""

    sha256: str
    length: int  # bytes
    image_size: int  # bytes, of its image
    shape: Shape = Shape()


@dataclass(frozen=True)
class BitmapLayout:
    """How a block map lies in a file. Raises UsageError if it contradicts itself."""

    block_size: int  # bytes
    body: Body = Bits()
    header: tuple[Field, ...] = ()
    trailer: tuple[Field, ...] = ()
    padding: Padding = Padding()
    name: str = ""
    matched: tuple[Match, ...] = ()

    def __post_init__(self) -> None:
        """Check what the types cannot say."""
        _want(
            0 < self.block_size <= MAX_BLOCK and self.block_size % SECTOR == 0,
            f"a block of {self.block_size} bytes is not a whole number of sectors up to 1 GiB",
        )
        _want(
            0 < self.padding.multiple <= _MAX_PADDING, "the padding is not to a multiple of bytes"
        )
        _want(0 <= self.padding.fill <= 255, f"{self.padding.fill} is not a byte to fill with")
        _want(
            not (isinstance(self.body, Bits) and self.body.trim)
            or self.padding.multiple == 1
            or self.padding.fill == 0,
            "a body without its empty end is padded with zeros, or its end cannot be found",
        )
        _want(
            not _ends_in_digits(self.body)
            or self.padding.multiple == 1
            or self.padding.fill not in b"0123456789abcdefABCDEF",
            "padding with digits goes on where a number in text ends",
        )
        for field in (*self.header, *self.trailer):
            _check_field(field, COUNTS)
        _check_body(self.body)

    def __str__(self) -> str:
        """Return it in words, on one line."""
        return describe(self)


def shape_of(block_map: BlockMap, body: Body) -> Shape:
    """Return what a tool may treat in a way of its own; the map has the layout's block size."""
    blocks, allocated = len(block_map), block_map.allocated
    state: State = "one" if allocated == 1 else "some"
    if allocated in (0, blocks):
        state = "all" if allocated else "none"
    entries = longest = 0
    if isinstance(body, Entries):
        listed = [e.count for e in block_map.extents() if e.allocated is (body.of == "data")]
        if body.each == "extent":
            entries, longest = len(listed), max(listed, default=0)
        else:
            entries, longest = sum(listed), min(1, len(listed))
    first, last = (blocks > 0 and block_map[at] for at in (0, -1))
    whole = block_map.size % block_map.block_size == 0
    return Shape(state, 2 * allocated > blocks, first, last, whole, entries, longest)


_STATES = {"none": "no data", "all": "data in every block", "one": "data in one block only"}


def unseen(layout: BitmapLayout, size: int, shape: Shape) -> str | None:
    """Return why a learned layout is not known to hold for a disk; None for any other layout.

    `size` is in bytes. What was seen is never extended: a table may begin a new segment where no
    probe reached, a list without an entry may be written in another way, a header may say whether
    the first block holds data, and a last block that is not whole may be left out.
    """
    if not layout.matched:
        return None
    sizes = [match.image_size for match in layout.matched]
    if not min(sizes) <= size <= max(sizes):
        seen = f"from {format_size(min(sizes))} to {format_size(max(sizes))}"
        return f"it was learned from disks {seen}, and this one has {format_size(size)}"
    shapes = [match.shape for match in layout.matched]
    if shape.state != "some" and shape.state not in {one.state for one in shapes}:
        return f"it was learned from no disk with {_STATES[shape.state]}"
    if shape.most not in {one.most for one in shapes}:
        return f"it was learned from no disk {_with(shape.most)} data in most of its blocks"
    if shape.first not in {one.first for one in shapes}:
        return f"it was learned from no disk {_with(shape.first)} data in its first block"
    if shape.last not in {one.last for one in shapes}:
        return f"it was learned from no disk {_with(shape.last)} data in its last block"
    whole = {one.whole for one in shapes if one.last or not shape.last}
    if shape.whole not in whole:
        kind = "a whole" if shape.whole else "a short"
        return f"it was learned from no disk with {kind} last block{' of data' * shape.last}"
    most = max(one.entries for one in shapes)
    longest = max(one.longest for one in shapes)
    if shape.entries > most:
        return (
            f"it was learned from lists of up to {most} entries, and this one has {shape.entries}"
        )
    if shape.longest > longest:
        return (
            f"it was learned from extents of up to {longest} blocks, here is one of {shape.longest}"
        )
    return None


def _with(data: bool) -> str:
    return "with" if data else "without"


def describe(layout: BitmapLayout) -> str:
    """Return a layout in words, on one line; what is absent is not mentioned."""
    said = [f"{describe_body(layout.body)} (blocks of {format_size(layout.block_size)})"]
    for where, fields in (("header", layout.header), ("trailer", layout.trailer)):
        if fields:
            said.append(f"{where}: {', '.join(map(_describe_field, fields))}")
    if layout.padding.multiple > 1:
        pad = layout.padding
        said.append(f"the {pad.of} padded to {pad.multiple} bytes with {pad.fill:#04x}")
    return "; ".join(said)


def describe_body(body: Body) -> str:
    """Return a body in words."""
    if isinstance(body, Bits):
        order = {"lsb": "least", "msb": "most"}[body.bit_order]
        said = f"one bit per block, {order} significant first, {body.data_bit} = data"
        said += f", in reversed words of {body.word} bytes" if body.word > 1 else ""
        said += ", spare bits set" if body.spare_bit else ""
        return said + (", without its empty end" if body.trim else "")
    if isinstance(body, Cells):
        between = f", {body.separator!r} between" if body.separator else ""
        return f"{body.data!r} per block with data, {body.empty!r} per empty one{between}"
    entry = " ".join(map(_describe_field, body.entry))
    between = f", {body.separator!r} between" if body.separator else ""
    state = {"data": "with data", "empty": "without data"}[body.of]
    cut = "" if body.cut else ", whole blocks even at the end of the disk"
    return f"for each {body.each} {state}: {entry}{between}{cut}"


def _describe_field(field: Field) -> str:
    if isinstance(field, Constant):
        long = field.data[:_SHOWN].hex(" ") + (" …" if len(field.data) > _SHOWN else "")
        return repr(field.data)[1:] if field.data.isascii() and len(field.data) < _SHOWN else long
    size = f"{field.form} {field.width}" if field.form in ("le", "be") else field.form
    if isinstance(field, Checksum):
        return f"{field.algorithm} of {field.over} ({size})"
    return f"{field.what}{f' in {field.unit}s' if field.what in PLACES else ''} ({size})"


def _check_body(body: Body) -> None:
    if isinstance(body, Bits):
        _want(body.word in (1, 2, 4, 8), f"a word of {body.word} bytes; use 1, 2, 4 or 8")
    elif isinstance(body, Cells):
        _want(body.data != body.empty, "data and empty blocks have the same bytes")
        _want(len(body.data) == len(body.empty), "the two states differ in length")
    else:
        for field in body.entry:
            _check_field(field, PLACES)
        named = {field.what for field in body.entry if isinstance(field, Number)}
        size = {"extent": {"length", "end", "last"}, "block": set[str]()}[body.each]
        _want(
            "start" in named and bool(named & size) == bool(size) and named <= {"start", *size},
            f"an entry for each {body.each} says {', '.join(sorted(named)) or 'nothing'}",
        )


def _ends_in_digits(body: Body) -> bool:
    last = body.entry[-1] if isinstance(body, Entries) and body.entry else None
    return isinstance(last, Number) and last.form not in ("le", "be")


def _check_field(field: Field, known: tuple[str, ...]) -> None:
    if isinstance(field, Number):
        _want(field.what in known, f"unknown number {field.what!r}; use {', '.join(known)}")
        _want(field.unit in UNITS, f"unknown unit {field.unit!r}; use {', '.join(UNITS)}")
        binary = field.form in ("le", "be")
        least = 1 if binary else 0
        _want(least <= field.width <= (8 if binary else MAX_WIDTH), f"invalid width {field.width}")
    elif isinstance(field, Checksum):
        _want(known is COUNTS, "a checksum stands in the header or the trailer")
        _want(1 <= field.width <= 8, f"invalid width {field.width}")
        _want(field.algorithm in get_args(Algorithm), f"unknown checksum {field.algorithm!r}")


def _want(fine: bool, complaint: str) -> None:
    if not fine:
        raise UsageError(f"invalid bitmap layout: {complaint}")


DEFAULT_LAYOUT = BitmapLayout(name="zvhd2", block_size=2 * MIB)
