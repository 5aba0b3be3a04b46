"""Bodies of small maps found in files that were written by plain loops; `test_search` has the rest."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imsprep.bitmap.codec import encode
from imsprep.bitmap.learn.probe import (
    SECOND_SIZE,
)
from imsprep.bitmap.learn.search import Sample, learn
from imsprep.image.blockmap import BlockMap
from imsprep.units import SECTOR
from tests.support.bitmap.vendors import extents_of, pack

B = 4096
SHORT = 3 * SECTOR  # by which the last block is short


def block_map(blocks: int, seed: int, *, end: bool = True) -> BlockMap:
    """Return a map whose last block is short and holds data, or with an empty end."""
    choice = random.Random(seed)
    flags = np.array([choice.random() < 0.4 for _ in range(blocks)])
    flags[-1] = True
    if not end:
        flags[-100:] = False
    return BlockMap.from_flags(blocks * B - SHORT, B, flags)


def bits(of: BlockMap) -> list[int]:
    return [int(of[n]) for n in range(len(of))]


def numbered(of: BlockMap) -> bytes:
    """Bits, behind a number of blocks that is no constant."""
    return struct.pack("<4sI", b"BITS", len(of)) + pack(bits(of))


def first_and_behind_in_blocks(of: BlockMap) -> bytes:
    return b"".join(struct.pack("<II", s, s + n) for s, n in extents_of(bits(of), 1))


def first_and_last_in_blocks(of: BlockMap) -> bytes:
    return b"".join(struct.pack(">II", s, s + n - 1) for s, n in extents_of(bits(of), 1))


def first_and_last_in_sectors(of: BlockMap) -> bytes:
    """The last extent is cut at the end of the disk."""
    runs = [(s * 8, min((s + n) * 8, of.size // SECTOR) - 1) for s, n in extents_of(bits(of), 1)]
    return b"".join(struct.pack("<QQ", *run) for run in runs)


def lines_in_bytes(of: BlockMap) -> bytes:
    runs = [(s * B, min((s + n) * B, of.size) - s * B) for s, n in extents_of(bits(of), 1)]
    return "".join(f"{start} {length}\n" for start, length in runs).encode()


def cells_with_a_sum(of: BlockMap) -> bytes:
    body = b"".join(b"DATA" if bit else b"HOLE" for bit in bits(of))
    return body + struct.pack(">I", zlib.crc32(body))


def cells_with_line_ends_between(of: BlockMap) -> bytes:
    return "\n".join("data" if bit else "hole" for bit in bits(of)).encode()


def sum_of_all_before_it(of: BlockMap) -> bytes:
    before = b"SUMS" + struct.pack("<I", len(of)) + pack(bits(of))
    return before + struct.pack("<I", zlib.crc32(before))


def padded(of: BlockMap) -> bytes:
    body = pack(bits(of))
    return body + bytes(-len(body) % 64)


TOOLS = [
    numbered, first_and_behind_in_blocks, first_and_last_in_blocks, first_and_last_in_sectors,
    lines_in_bytes, cells_with_a_sum, cells_with_line_ends_between, sum_of_all_before_it, padded,
]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.__name__)
def test_what_is_learned_of_one_map_holds_for_another(tool: Callable[[BlockMap], bytes]) -> None:
    first, other = block_map(601, 1), block_map(2345, 2, end=False)
    learned = learn([Sample(first, tool(first))])
    assert learned.layouts
    anywhere = [replace(one, matched=()) for one in learned.layouts]  # also for other sizes
    fitting = [one for one in anywhere if encode(other, one) == tool(other)]
    both = learn([Sample(first, tool(first)), Sample(other, tool(other))])
    assert both.outcome == "one"
    assert [one.body for one in fitting] == [one.body for one in both.layouts]


def test_a_number_of_two_bytes_may_as_well_be_a_constant() -> None:
    """Then both are told, and the second file decides."""
    first, other = block_map(601, 1), block_map(2345, 2, end=False)

    def short(of: BlockMap) -> bytes:
        return struct.pack("<H", len(of)) + pack(bits(of))

    def constant(of: BlockMap) -> bytes:
        return struct.pack("<H", 601) + pack(bits(of))

    assert short(first) == constant(first)
    for tool in (short, constant):
        [layout] = learn([Sample(first, tool(first)), Sample(other, tool(other))]).layouts
        assert encode(other, layout) == tool(other)


def test_a_second_file_that_does_not_fit_is_told() -> None:
    first, other = block_map(601, 1), block_map(2345, 2, end=False)
    learned = learn([Sample(first, padded(first)), Sample(other, b"x" + padded(other))])
    assert learned.outcome == "none"
    assert "and none of them file number 1" in learned.reached


@pytest.mark.slow
def test_padding_may_as_well_be_a_constant() -> None:
    of = block_map(8 * 68 + 1, 3)  # 69 bytes of bits
    for multiple, multiples in ((16, [1, 16]), (8, [1, 4, 8])):
        body = pack(bits(of))
        found = learn([Sample(of, body + bytes(-len(body) % multiple))])
        assert sorted({one.padding.multiple for one in found.layouts}) == multiples


def test_a_second_probe_has_another_size_than_all_before() -> None:
    of = block_map(600, 1)  # no spare bits, so that several layouts fit
    learned = learn([Sample(of, pack(bits(of)))])
    assert learned.outcome == "several"
    assert learned.second_probe == SECOND_SIZE
