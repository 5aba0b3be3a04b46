"""Header and trailer: what the bytes before and behind a body say.

Numbers that are known of the image and the body, and checksums over what is there, are recognised;
everything else is taken as constant. A number below 256, or of two bytes, may stand there by
chance: then both readings are returned, and the caller has to report that several fit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from imsprep.bitmap.codec import checksum, counts, encode_body, write_number
from imsprep.bitmap.layout import (
    Algorithm,
    BitmapLayout,
    Bits,
    Checksum,
    Constant,
    Field,
    Form,
    Number,
    Over,
    Padding,
)
from imsprep.bitmap.learn.bodies import BodyMatch
from imsprep.units import round_up

CERTAIN = 256  # a number from here on does not stand in a file by chance
MAX_FIELDS = 4096  # bytes of a header or trailer that are looked through
_MAX_SUMS = 512  # bytes in which checksums are looked for
_MAX_READINGS = 64
_FILLS = (b"\0", b"\xff", b" ")
_PADDED: tuple[Literal["body", "file"], ...] = ("body", "file")
_MULTIPLES = tuple(2**n for n in range(1, 17))  # bytes that a padding may lead to
_BINARY: tuple[tuple[int, Form], ...] = tuple(itertools.product((8, 4, 2), ("le", "be")))
_TEXTS: tuple[Form, ...] = ("decimal", "hex", "HEX")


class _Region(NamedTuple):
    """Bytes to explain, and the whole file that they are in."""

    data: bytes
    offset: int  # of the region in the file
    file: bytes
    body: bytes  # without padding
    values: dict[str, int]


def layouts_around(file: bytes, match: BodyMatch) -> Iterator[BitmapLayout]:
    """Yield the layouts that a body at this place may be part of."""
    start, end = match.start, match.end
    if start > MAX_FIELDS:
        return
    values = counts(match.block_map, encode_body(match.block_map, match.body))
    body = file[start:end]
    headers = list(_readings(_Region(file[:start], 0, file, body, values)))
    plain = _Region(file[end:], end, file, body, values)
    for padding in _paddings(plain, match):
        behind = end + _padding_size(padding, start, end)
        if len(file) - behind > MAX_FIELDS:
            continue
        for trailer in _readings(plain._replace(data=file[behind:], offset=behind)):
            for header in headers:
                yield BitmapLayout(
                    block_size=match.block_map.block_size, body=match.body,
                    header=header, trailer=trailer, padding=padding,
                )  # fmt: skip


def _padding_size(padding: Padding, start: int, end: int) -> int:
    length = end - start if padding.of == "body" else end
    return round_up(length, padding.multiple) - length


def _paddings(behind: _Region, match: BodyMatch) -> Iterator[Padding]:
    """Yield the paddings that the bytes behind a body may be; none is one of them.

    Padding goes up to the first other byte. That it leads to a multiple may be chance, and the
    bytes a constant, so both are returned; a second file tells.
    """
    trimmed = isinstance(match.body, Bits) and match.body.trim
    number = _fields_at(behind, 0) if behind.data else None
    fill = behind.data[:1]
    run = len(behind.data) - len(behind.data.lstrip(fill)) if fill else 0
    made = [
        Padding(multiple, of, fill[0])
        for multiple in _MULTIPLES
        for of in _PADDED
        if fill in _FILLS and not trimmed and not (number and number[0])
        if of == "body" or match.start % multiple
        if _padding_size(Padding(multiple, of), match.start, match.end) == run
    ]
    yield Padding()
    yield from made


def _readings(region: _Region) -> Iterator[tuple[Field, ...]]:
    """Yield the ways to read a region as fields, the likeliest first."""
    found = itertools.islice(_read_from(region, 0), _MAX_READINGS)
    return (_joined(fields) for fields in found)


def _read_from(region: _Region, position: int) -> Iterator[tuple[Field, ...]]:
    """Yield the readings of a region from here to its end."""
    before: list[Field] = []
    while position < len(region.data):
        fields = _fields_at(region, position)
        if fields is None:
            before.append(Constant(region.data[position : position + 1]))
            position += 1
            continue
        certain, choices = fields
        for field, length in choices:
            for rest in _read_from(region, position + length):
                yield (*before, field, *rest)
        if certain:
            return
        before.append(Constant(region.data[position : position + 1]))
        position += 1
    yield tuple(before)


def _fields_at(region: _Region, position: int) -> tuple[bool, list[tuple[Field, int]]] | None:
    """Return the numbers or checksums that begin here, and whether it is certain to be one."""
    for form in _TEXTS:
        if texts := _text_number(region, position, form):
            return region.values[texts[0][0].what] >= CERTAIN, [*texts]
    for width, form in _BINARY:
        piece = region.data[position : position + width]
        same = [
            Number(what, form, width)
            for what, value in region.values.items()
            if value and _fits(Number(what, form, width), value) == piece
        ]
        if same:
            certain = width > 2 and region.values[same[0].what] >= CERTAIN
            return certain, [(n, width) for n in same]
    sums: list[tuple[Field, int]] = [(c, c.width) for c in _checksums_at(region, position)]
    # A sum of little, or an inverted one, consists of few different bytes, which are no proof.
    certain = any(len(set(region.data[position : position + width])) > 2 for _, width in sums)
    return (certain, sums) if sums else None


def _fits(number: Number, value: int) -> bytes:
    return write_number(number, value) if value < 1 << 8 * number.width else b""


def _text_number(region: _Region, position: int, form: Form) -> list[tuple[Number, int]]:
    """Return the numbers that a whole run of digits may be."""
    digits = {"decimal": rb"[0-9]", "hex": rb"[0-9a-f]", "HEX": rb"[0-9A-F]"}[form]
    found = re.compile(digits + rb"{1,20}(?!" + digits + rb")").match(region.data, position)
    if found is None or re.match(digits, region.data[max(0, position - 1) : position]):
        return []
    text = found[0]
    width = len(text) if text.startswith(b"0") else 0
    return [
        (number, len(text))
        for what, value in region.values.items()
        if write_number(number := Number(what, form, width), value) == text
    ]


def _checksums_at(region: _Region, position: int) -> Iterator[Checksum]:
    """Yield the checksums that stand here; four bytes, or eight for a sum."""
    if len(region.data) > _MAX_SUMS:
        return
    at = region.offset + position
    for width in (8, 4):
        piece = region.data[position : position + width]
        if len(piece) < width or piece == bytes(width):
            continue
        over: Over
        for over in get_args(Over):
            covered = {
                "body": region.body, "before": region.file[:at], "after": region.file[at + width :],
                "file": region.file[:at] + bytes(width) + region.file[at + width :],
            }[over]  # fmt: skip
            for algorithm in get_args(Algorithm) if width == 4 else ("sum", "inverted-sum"):
                for form in ("le", "be"):
                    field = Checksum(algorithm, over, form, width)
                    if covered and checksum(field, covered) == piece:
                        yield field
                        return


def _joined(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Return the fields with neighbouring constants as one."""
    joined: list[Field] = []
    for field in fields:
        if isinstance(field, Constant) and joined and isinstance(joined[-1], Constant):
            joined[-1] = Constant(joined[-1].data + field.data)
        else:
            joined.append(field)
    return tuple(joined)
