"""Candidates: which body, known from the image's block map, stands where in a file.

Every body of the known kinds and block sizes is made from the block map and looked for in the file.
A *match* says where one was found; what lies before and behind it is for `fields`.

What is tried: blocks of 512 bytes to 64 MiB (powers of two); bits in either order and polarity, in
words of 1, 2, 4, 8 bytes, with spare bits of either value, and cut at the end as a BitSet of Java
is; any two values of 1 to 8 bytes per block, with or without a separator; lists of extents or
blocks of either state, with any of three ways to say where an extent ends, in blocks, sectors or
bytes, as binary numbers of 2, 4, 8 bytes in either order, or as decimal or hexadecimal text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imsprep.bitmap.codec import encode_body
from imsprep.bitmap.layout import UNITS, Bits, Body, Cells, Constant, Entries, Form, Number, Of
from imsprep.image.blockmap import BlockMap
from imsprep.units import MIB, SECTOR, ceil_div

Numbers = NDArray[np.int64]

MAX_BLOCK = 64 * MIB
_ORDERS: tuple[Literal["lsb", "msb"], ...] = ("lsb", "msb")
_BITS: tuple[Literal[0, 1], ...] = (0, 1)
_FORMS: tuple[tuple[Form, int], ...] = tuple(itertools.product(("le", "be"), (8, 4, 2)))
_ALONE = rb"(?<![0-9A-Za-z])(?:0x)?(%s)(?![0-9A-Za-z])"
_TOKENS = {
    "decimal": rb"([0-9]{1,18})(?![0-9])",
    "hex": _ALONE % rb"[0-9a-f]{1,15}",
    "HEX": _ALONE % rb"[0-9A-F]{1,15}",
}
_LEAST_CHANGES = 16  # between data and no data; about 50 bits of evidence among 64 blocks
_MAX_PLACES = 4  # of one body in one file; more than one is only possible if it is very short
_MAX_CELL = 8  # bytes
_MAX_AROUND = 4096  # bytes of header and trailer around cells
_ROWS = 64  # blocks by which cells are judged before all are looked at


class BodyMatch(NamedTuple):
    """A body that stands in a file, from `start` up to `end`."""

    block_map: BlockMap  # of the body's block size
    body: Body
    start: int
    end: int


def _block_sizes(block_map: BlockMap) -> Iterator[int]:
    """Yield the block sizes that this map distinguishes."""
    size = max(SECTOR, block_map.block_size)
    while size <= MAX_BLOCK:
        if size % block_map.block_size == 0:
            yield size
        size *= 2


def distinctive_maps(block_map: BlockMap) -> Iterator[BlockMap]:
    """Yield the map in each block size in which it is not so plain that any file has it."""
    for size in _block_sizes(block_map):
        block_map = block_map.coarsened(size)
        if np.count_nonzero(np.diff(block_map.flags())) >= _LEAST_CHANGES:
            yield block_map


def find_bodies(block_map: BlockMap, data: bytes) -> Iterator[BodyMatch]:
    """Yield every body of the map that stands in the file."""
    texts = [_Text.of(form, data) for form in ("decimal", "hex", "HEX")]
    for coarse in distinctive_maps(block_map):
        yield from _find_bits(coarse, data)
        yield from _find_cells(coarse, data)
        yield from _find_entries(coarse, data, texts)


def all_bits(blocks: int, limit: int) -> Iterator[Bits]:
    """Yield the ways to write bits that fit into `limit` bytes."""
    for order, bit, word, spare in itertools.product(_ORDERS, _BITS[::-1], (1, 2, 4, 8), _BITS):
        if ceil_div(blocks, 8) <= limit:
            yield Bits(order, bit, word, spare)
        if bit == 1 and spare == 0:
            yield Bits(order, 1, word, 0, trim=True)


def _find_bits(block_map: BlockMap, data: bytes) -> Iterator[BodyMatch]:
    if ceil_div(len(block_map), 8) > 8 * len(data) + 64:
        return  # even without its empty end it would hardly fit
    for body in all_bits(len(block_map), len(data)):
        packed = encode_body(block_map, body).data
        for start in _places(data, packed):
            end = start + len(packed)
            # An empty word behind it belongs to it: then it was not cut.
            if not (body.trim and data[end : end + body.word] == bytes(body.word)):
                yield BodyMatch(block_map, body, start, end)


def _places(data: bytes, wanted: bytes) -> Iterator[int]:
    """Yield where some bytes stand in a file."""
    start = data.find(wanted) if wanted else -1
    for _ in range(_MAX_PLACES):
        if start < 0:
            return
        yield start
        start = data.find(wanted, start + 1)


def _find_cells(block_map: BlockMap, data: bytes) -> Iterator[BodyMatch]:
    """Look for rows of equal width of which those of one state are all equal."""
    if len(block_map) > len(data):
        return
    flags = block_map.flags()
    filled, empty = np.flatnonzero(flags[:-1]), np.flatnonzero(~flags[:-1])
    if not len(filled) or not len(empty):
        return  # one state alone can be anything
    one, other, none = int(filled[0]), int(filled[-1]), int(empty[0])
    for width in range(1, _MAX_CELL + 1):
        shortest = (len(flags) - 1) * width + 1
        for start in range(min(len(data) - shortest + 1, _MAX_AROUND)):
            first = data[start + one * width : start + (one + 1) * width]
            if not data.startswith(first, start + other * width):
                continue
            if data.startswith(first, start + none * width):
                continue
            yield from _cells_at(block_map, flags, data, start, width)


def _cells_at(
    block_map: BlockMap, flags: NDArray[np.bool_], data: bytes, start: int, width: int
) -> Iterator[BodyMatch]:
    """Yield the cells of this width that begin at `start`, if they are cells."""
    inner = len(flags) - 1  # the last one may lack its separator
    rows = np.frombuffer(data, dtype=f"V{width}", count=inner, offset=start)
    for count in (min(inner, _ROWS), inner):
        head, state = rows[:count], flags[:count]
        kinds = [head[state][:1].tobytes(), head[~state][:1].tobytes()]
        for rest, kind in ((head[state], kinds[0]), (head[~state], kinds[1])):
            if rest.tobytes() != kind * len(rest):
                return
    filled, empty = kinds
    last = filled if flags[-1] else empty
    end = start + inner * width
    common = _common_end(filled, empty)
    if data.startswith(last, end):
        yield BodyMatch(block_map, Cells(filled, empty), start, end + width)
    elif common and data.startswith(last[: width - common], end):
        cut = width - common
        body = Cells(filled[:cut], empty[:cut], filled[cut:])
        yield BodyMatch(block_map, body, start, end + cut)


def _common_end(one: bytes, other: bytes) -> int:
    """Return how many bytes at the end of two are equal."""
    pairs = zip(reversed(one), reversed(other), strict=True)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _find_entries(block_map: BlockMap, data: bytes, texts: list[_Text]) -> Iterator[BodyMatch]:
    of: Of
    for of in ("data", "empty"):
        extents = [e for e in block_map.extents() if e.allocated is (of == "data")]
        starts = np.array([e.start for e in extents], dtype=np.int64)
        lengths = np.array([e.count for e in extents], dtype=np.int64)
        if not len(starts) or len(starts) > len(data):
            continue
        runs = {"extent": (starts, lengths)}
        if lengths.sum() <= len(data):
            single = np.concatenate([np.arange(e.start, e.start + e.count) for e in extents])
            runs["block"] = (single, np.ones_like(single))
        for template in _templates(of):
            if template.each in runs:
                values = _values(block_map, template, *runs[template.each])
                yield from _find_binary(block_map, data, template, values)
                yield from _find_text(block_map, data, template, values, texts)


def _templates(of: Of) -> Iterator[Entries]:
    """Yield what an entry may say; how its numbers are written is still open."""
    for unit in UNITS:
        yield Entries((Number("start", unit=unit),), "block", of)
        for what in ("length", "end", "last"):
            entry = (Number("start", unit=unit), Number(what, unit=unit))
            yield Entries(entry, "extent", of)
            if unit != "block":
                yield Entries(entry, "extent", of, cut=False)


def _values(block_map: BlockMap, template: Entries, starts: Numbers, lengths: Numbers) -> Numbers:
    """Return the numbers of all entries, a row each; as `codec.places`, all at once."""
    numbers = [field for field in template.entry if isinstance(field, Number)]
    size = {"block": block_map.block_size, "sector": SECTOR, "byte": 1}[numbers[0].unit]
    offsets = starts * block_map.block_size
    ends = (starts + lengths) * block_map.block_size
    if template.cut:
        ends = np.minimum(ends, block_map.size)
    start, end = offsets // size, -(-ends // size)
    columns = {"start": start, "length": end - start, "end": end, "last": end - 1}
    return np.stack([columns[number.what] for number in numbers], axis=1)


def _find_binary(
    block_map: BlockMap, data: bytes, template: Entries, values: Numbers
) -> Iterator[BodyMatch]:
    for form, width in _FORMS:
        if values.size * width > len(data) or int(values.max()) >> 8 * width:
            continue
        packed = values.astype(f"{'<' if form == 'le' else '>'}u{width}").tobytes()
        for start in _places(data, packed):
            entry = tuple(_with(n, form, width) for n in template.entry)
            body = replace(template, entry=entry)
            yield BodyMatch(block_map, body, start, start + len(packed))


def _with(field: Constant | Number, form: Form, width: int) -> Constant | Number:
    return field._replace(form=form, width=width) if isinstance(field, Number) else field


class _Text(NamedTuple):
    """The numbers that a file has if it is read as text."""

    form: Form
    tokens: list[re.Match[bytes]]
    values: list[int]
    where: dict[int, list[int]]  # positions in the list by value

    @classmethod
    def of(cls, form: Form, data: bytes) -> _Text:
        tokens = list(re.finditer(_TOKENS[form], data))
        values = [int(token[1], 10 if form == "decimal" else 16) for token in tokens]
        where: dict[int, list[int]] = {}
        for n, value in enumerate(values):
            where.setdefault(value, []).append(n)
        return cls(form, tokens, values, where)


def _find_text(
    block_map: BlockMap, data: bytes, template: Entries, values: Numbers, texts: list[_Text]
) -> Iterator[BodyMatch]:
    wanted = values.reshape(-1).tolist() if len(values) > 1 else []
    for text in texts:
        if not wanted or len(wanted) > len(text.tokens):
            continue
        # The last number is the rarest; small ones may stand in every line.
        for end in text.where.get(wanted[-1], []):
            n = end - len(wanted) + 1
            if n < 0 or text.values[n] != wanted[0]:
                continue
            if text.values[n : n + len(wanted)] == wanted:
                run = text.tokens[n : n + len(wanted)]
                yield from _text_at(block_map, data, template, text.form, run)


def _text_at(
    block_map: BlockMap,
    data: bytes,
    template: Entries,
    form: Form,
    run: list[re.Match[bytes]],
) -> Iterator[BodyMatch]:
    """Yield the list that these numbers are, if what stands between them is always the same."""
    per_entry = len(template.entry)
    gaps = [data[a.end(1) : b.start(1)] for a, b in itertools.pairwise(run)]
    inside = set(gaps[0::per_entry]) if per_entry == 2 else {b""}
    between = set(gaps[per_entry - 1 :: per_entry])
    if len(inside) != 1 or len(between) != 1:
        return
    entry: list[Constant | Number] = []
    for column, number in enumerate(template.entry):
        texts = [token[1] for token in run[column::per_entry]]
        padded = any(len(t) > 1 and t.startswith(b"0") for t in texts)
        entry += [Constant(inside.copy().pop())] if column else []
        entry.append(_with(number, form, min(map(len, texts)) if padded else 0))
    separator, end = between.pop(), run[-1].end(1)
    if data.startswith(separator, end):  # it ends every entry, the last one too
        entry.append(Constant(separator))
        end, separator = end + len(separator), b""
    body = replace(template, entry=tuple(entry), separator=separator)
    yield BodyMatch(block_map, body, run[0].start(1), end)
