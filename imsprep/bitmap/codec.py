"""The bitmap file (`.mf`) of a RAW image: a block map as bytes, by a layout.

What is in the file a `layout` says; here it is applied, both ways. Decoding ends by encoding again:
whatever a header, checksum or padding says is thereby checked, and the first byte that is not as
the layout wants it is named.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bitarray import bitarray
from bitarray.util import zeros

from imsprep.bitmap.bits import PackedBits, pack_bits, unpack_bits
from imsprep.bitmap.layout import (
    DEFAULT_LAYOUT,
    MAX_WIDTH,
    BitmapLayout,
    Bits,
    Body,
    Cells,
    Checksum,
    Constant,
    Entries,
    Field,
    Number,
    shape_of,
    unseen,
)
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap, Extent
from imsprep.units import SECTOR, ceil_div, round_up


def encode(block_map: BlockMap, layout: BitmapLayout = DEFAULT_LAYOUT) -> bytes:
    """Return the file's bytes for a block map of the layout's block size, or a finer one.

    Raises FormatError if a number does not fit its field.
    """
    if block_map.block_size != layout.block_size:
        block_map = block_map.coarsened(layout.block_size)
    why = None
    if layout.matched:
        why = unseen(layout, block_map.size, shape_of(block_map, layout.body))
    if why is not None:
        raise FormatError(
            f"the layout {layout.name!r} was learned, and may not hold here: {why}; learn it from"
            " the bitmap of such a disk too"
        )
    body = encode_body(block_map, layout.body)
    values = counts(block_map, body)
    header = [_field(field, values) for field in layout.header]
    trailer = [_field(field, values) for field in layout.trailer]
    start = sum(map(len, header))
    padding = _padding(layout, start, len(body.data))
    file = bytearray(b"".join([*header, body.data, padding, *trailer]))
    _fill_checksums(file, layout, [*header, body.data + padding, *trailer], start, len(body.data))
    return bytes(file)


def encode_body(block_map: BlockMap, body: Body) -> PackedBits:
    """Return the body alone; the map has the layout's block size."""
    if isinstance(body, Bits):
        return pack_bits(block_map, body)
    if isinstance(body, Cells):
        import numpy as np

        cells = np.array([body.empty + body.separator, body.data + body.separator])
        packed = np.take(cells.view(f"V{cells.itemsize}"), block_map.flags().astype(np.intp))
        data = packed.tobytes()
        return PackedBits(data[: len(data) - len(body.separator)], len(block_map))
    pieces = [_entry(body, values) for values in places(block_map, body)]
    return PackedBits(body.separator.join(pieces), len(pieces))


def counts(block_map: BlockMap, body: PackedBits) -> dict[str, int]:
    """Return the value of every number that a header may hold (`layout.COUNTS`)."""
    data = block_map.allocated
    return {
        "image_size": block_map.size,
        "image_sectors": ceil_div(block_map.size, SECTOR),
        "block_size": block_map.block_size,
        "block_sectors": block_map.block_size // SECTOR,
        "blocks": len(block_map),
        "data_blocks": data,
        "empty_blocks": len(block_map) - data,
        "body_size": len(body.data),
        "entries": body.entries,
    }


def places(block_map: BlockMap, body: Entries) -> Iterator[dict[tuple[str, str], int]]:
    """Yield for each entry its numbers, by what they say and their unit."""
    for extent in block_map.extents():
        if extent.allocated is not (body.of == "data"):
            continue
        blocks = range(extent.start, extent.start + extent.count)
        runs = [extent] if body.each == "extent" else [Extent(n, 1, True) for n in blocks]
        for run in runs:
            offset, length = run.start * block_map.block_size, run.count * block_map.block_size
            if body.cut:
                length = min(length, block_map.size - offset)
            values: dict[tuple[str, str], int] = {}
            for unit, size in (("block", block_map.block_size), ("sector", SECTOR), ("byte", 1)):
                start, end = offset // size, ceil_div(offset + length, size)
                values |= {("start", unit): start, ("end", unit): end}
                values |= {("length", unit): end - start, ("last", unit): end - 1}
            yield values


def decode(data: bytes, size: int, layout: BitmapLayout = DEFAULT_LAYOUT) -> BlockMap:
    """Return the block map of a disk of `size` bytes; FormatError if the file does not fit it."""
    header = _pattern(layout.header).match(data)
    ending = re.compile(_pattern(layout.trailer).pattern + rb"\Z", re.DOTALL)
    trailer = ending.search(data, max(0, len(data) - _longest(layout.trailer)))
    if header is None or trailer is None:
        raise FormatError(
            f"the {'header' if header is None else 'trailer'} differs from the layout's"
        )
    _check_sizes(header, layout, size)
    blocks = ceil_div(size, layout.block_size)
    body = data[header.end() : max(trailer.start(), header.end())]
    maps = [BlockMap(size, layout.block_size, bits) for bits in _readings(body, blocks, layout)]
    wrongs = [_difference(data, encode(block_map, layout), blocks) for block_map in maps]
    right = [block_map for block_map, wrong in zip(maps, wrongs, strict=True) if wrong is None]
    if not right:
        raise wrongs[-1] or FormatError("the body differs from the layout's", offset=header.end())
    if len(right) > 1:
        raise FormatError(
            "the end of the list may be an entry or padding, and the layout has no count to"
            " decide it",
            offset=header.end(),
        )
    (block_map,) = right
    return block_map


def _readings(body: bytes, blocks: int, layout: BitmapLayout) -> Iterator[bitarray]:
    """Yield what a body may say: twice where the last entry may be padding.

    No more than one can be: entries ascend, and padding repeats itself.
    """
    if isinstance(layout.body, Bits):
        yield unpack_bits(body, blocks, layout.body)
    elif isinstance(layout.body, Cells):
        yield _unpack_cells(body, blocks, layout.body)
    else:
        runs = list(_unpack_entries(body, blocks, layout))
        padding_like = bool(runs) and set(runs[-1].data) == {layout.padding.fill}
        for entries in [runs[:-1], runs] if padding_like else [runs]:
            bits = zeros(blocks)
            for start, end, _ in entries:
                bits[start:end] = True
            yield bits if layout.body.of == "data" else ~bits


def _difference(data: bytes, expected: bytes, blocks: int) -> FormatError | None:
    """Return where a file differs from what its layout makes of the same block map."""
    if data == expected:
        return None
    if len(data) != len(expected):
        return FormatError(
            f"a bitmap of {blocks} blocks has {len(expected)} bytes, this one {len(data)}"
        )
    offset = next(n for n, (a, b) in enumerate(zip(data, expected, strict=True)) if a != b)
    return FormatError(
        f"expected {expected[offset]:#04x}, got {data[offset]:#04x}: it does not have this"
        " layout, or marks blocks beyond the end of the disk",
        offset=offset,
    )


def _check_sizes(header: re.Match[bytes], layout: BitmapLayout, size: int) -> None:
    """Compare what a header says of the image, for a better message than a byte's offset."""
    known = {"image_size": size, "image_sectors": ceil_div(size, SECTOR)}
    known["block_size"] = layout.block_size
    for n, field in enumerate(layout.header, 1):
        if isinstance(field, Number) and field.what in known:
            value = _value(field, header[n])
            if value != known[field.what]:
                raise FormatError(
                    f"the bitmap's {field.what} is {value}, the image's {known[field.what]}",
                    offset=header.start(n),
                )


# Fields, both ways.


def _field(field: Field, values: dict[str, int]) -> bytes:
    if isinstance(field, Constant):
        return field.data
    if isinstance(field, Checksum):
        return bytes(field.width)
    return write_number(field, values[field.what])


def write_number(field: Number, value: int) -> bytes:
    """Return a number as the field has it; FormatError if it does not fit."""
    if field.form in ("le", "be"):
        try:
            return value.to_bytes(field.width, "little" if field.form == "le" else "big")
        except OverflowError:
            raise FormatError(
                f"{field.what} is {value}, too much for {field.width} bytes of the layout"
            ) from None
    digits = {"decimal": "d", "hex": "x", "HEX": "X"}[field.form]
    return f"{value:0{field.width}{digits}}".encode()


_TEXT = {"decimal": rb"([0-9]{1,20})", "hex": rb"([0-9a-f]{1,16})", "HEX": rb"([0-9A-F]{1,16})"}


def _pattern(fields: Sequence[Field]) -> re.Pattern[bytes]:
    """Return the expression that reads these fields, one group for each."""
    pieces = []
    for field in fields:
        if isinstance(field, Constant):
            pieces.append(b"(" + re.escape(field.data) + b")")
        elif field.form in ("le", "be"):
            pieces.append(b"(.{%d})" % field.width)
        else:
            pieces.append(_TEXT[field.form])
    return re.compile(b"".join(pieces), re.DOTALL)


def _longest(fields: Sequence[Field]) -> int:
    """Return the most bytes that these fields can have."""
    return sum(
        len(field.data) if isinstance(field, Constant) else max(field.width, MAX_WIDTH)
        for field in fields
    )


def _value(field: Number, text: bytes) -> int:
    if field.form in ("le", "be"):
        return int.from_bytes(text, "little" if field.form == "le" else "big")
    return int(text, 10 if field.form == "decimal" else 16)


def _padding(layout: BitmapLayout, start: int, length: int) -> bytes:
    """Return the bytes behind a body of `length` that starts at `start`."""
    end = length if layout.padding.of == "body" else start + length
    return bytes([layout.padding.fill]) * (round_up(end, layout.padding.multiple) - end)


def _fill_checksums(
    file: bytearray, layout: BitmapLayout, pieces: list[bytes], start: int, length: int
) -> None:
    """Put the checksums in, in their order, the ones that come later still being zeros."""
    position = 0
    for field, piece in zip((*layout.header, None, *layout.trailer), pieces, strict=True):
        if isinstance(field, Checksum):
            end = position + field.width
            over = {
                "body": file[start : start + length], "before": file[:position],
                "after": file[end:], "file": file,
            }[field.over]  # fmt: skip
            file[position:end] = checksum(field, bytes(over))
        position += len(piece)


def checksum(field: Checksum, data: bytes) -> bytes:
    """Return the field's bytes over `data`."""
    if field.algorithm == "crc32":
        value = zlib.crc32(data)
    elif field.algorithm == "adler32":
        value = zlib.adler32(data)
    else:
        import numpy as np

        value = int(np.frombuffer(data, dtype=np.uint8).sum(dtype=np.uint64))
        value = ~value if field.algorithm == "inverted-sum" else value
    value &= (1 << 8 * field.width) - 1
    return value.to_bytes(field.width, "little" if field.form == "le" else "big")


# Bodies, both ways.


def _unpack_cells(data: bytes, blocks: int, body: Cells) -> bitarray:
    step = len(body.data) + len(body.separator)
    return bitarray(data.startswith(body.data, n * step) for n in range(blocks))


def _entry(body: Entries, values: dict[tuple[str, str], int]) -> bytes:
    return b"".join(
        field.data
        if isinstance(field, Constant)
        else write_number(field, values[field.what, field.unit])
        for field in body.entry
    )


class _Run(NamedTuple):
    start: int  # first block
    end: int  # the one behind the last
    data: bytes  # the entry


def _unpack_entries(data: bytes, blocks: int, layout: BitmapLayout) -> Iterator[_Run]:
    """Yield the entries, as long as they make sense."""
    body = layout.body
    assert isinstance(body, Entries)
    pattern, position, least = _pattern(body.entry), 0, 0
    sizes = {"block": layout.block_size, "sector": SECTOR, "byte": 1}
    while (found := pattern.match(data, position)) is not None:
        values = {
            field.what: _value(field, text) * sizes[field.unit]
            for field, text in zip(body.entry, found.groups(), strict=True)
            if isinstance(field, Number)
        }
        start = values["start"] // layout.block_size
        end = start + 1
        if "length" in values:
            end = ceil_div(values["start"] + values["length"], layout.block_size)
        elif "end" in values:
            end = ceil_div(values["end"], layout.block_size)
        elif "last" in values:
            end = values["last"] // layout.block_size + 1
        if not least <= start < end <= blocks:
            return
        yield _Run(start, end, found.group())
        least, position = end, found.end()
        if not data.startswith(body.separator, position):
            return
        position += len(body.separator)
