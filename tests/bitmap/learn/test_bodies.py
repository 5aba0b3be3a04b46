"""Bodies of small maps found in files that were written by plain loops; `test_learn` has the rest."""

from __future__ import annotations

import getpass
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imsprep.bitmap.codec import encode
from imsprep.bitmap.layout import BitmapLayout
from imsprep.bitmap.layout_json import load_layout, save_layout
from imsprep.bitmap.learn.files import learn_files, save_learned, write_probe
from imsprep.bitmap.learn.probe import (
    FIRST_SIZE,
    MIN_SIZE,
    SECOND_SIZE,
    probe_map,
    sector_content,
    sectors,
)
from imsprep.bitmap.learn.search import Sample, learn
from imsprep.errors import UsageError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB, SECTOR
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


def test_the_probe_has_data_where_its_description_says() -> None:
    for size in (FIRST_SIZE, SECOND_SIZE, MIN_SIZE, 16 * GIB + 5 * SECTOR, 16 * GIB):
        numbers = sectors(size).tolist()
        if size == SECOND_SIZE:  # a tool that marks the first block always is seen by this one
            assert numbers[0] * SECTOR >= 64 * MIB
        else:
            assert numbers[0] == 0
        assert numbers == sorted(set(numbers))
        behind = [number for number in numbers if number * SECTOR >= size * 3 // 4]
        if size < GIB:  # data in most blocks
            assert len(behind) > 4
        else:
            assert behind == ([] if size % MIB == 5 * SECTOR else [size // SECTOR - 1])
        assert (size // SECTOR - 1 in behind) is (size % MIB != 5 * SECTOR)
    small = sectors(MIN_SIZE + 5 * SECTOR)
    assert small[-1] * SECTOR < MIN_SIZE * 3 // 4 + MIB
    assert any(number * SECTOR > 128 * GIB for number in sectors(SECOND_SIZE).tolist())


@pytest.mark.parametrize("block_size", [4 << 10, 64 << 10, 2 << 20, 16 << 20])
@pytest.mark.parametrize("size", [MIN_SIZE, FIRST_SIZE, 64 << 20])
def test_a_probe_of_a_boundary_case_is_one_in_every_block_size(size: int, block_size: int) -> None:
    for kind, allocated in (("none", 0), ("one", 1), ("all", -(-size // block_size))):
        blocks = {number * SECTOR // block_size for number in sectors(size, kind).tolist()}
        assert len(blocks) == allocated, kind


def test_the_probe_on_disk_is_the_one_that_was_planned(tmp_path: Path) -> None:
    path = tmp_path / "probe.raw"
    assert write_probe(path, size=MIN_SIZE) == len(sectors(MIN_SIZE)) * SECTOR
    data = path.read_bytes()
    assert len(data) == MIN_SIZE
    planned = probe_map(MIN_SIZE, SECTOR)
    for number in range(MIN_SIZE // SECTOR):
        wanted = sector_content(number) if planned[number] else bytes(SECTOR)
        assert data[number * SECTOR : (number + 1) * SECTOR] == wanted
    with pytest.raises(UsageError, match="allow it to be replaced"):
        write_probe(path, size=MIN_SIZE)


def test_a_file_that_is_no_layout_is_kept_and_a_layout_is_replaced(tmp_path: Path) -> None:
    notes, saved = tmp_path / "notes.txt", tmp_path / "a.layout.json"
    notes.write_text("mine")
    with pytest.raises(UsageError, match="not replaced"):
        save_learned(notes, BitmapLayout(B))
    assert notes.read_text() == "mine"
    save_layout(saved, BitmapLayout(B))
    save_learned(saved, BitmapLayout(2 * B))
    assert load_layout(str(saved)).block_size == 2 * B


def test_the_names_of_the_machine_and_of_the_user_are_no_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "builder7")
    pairs, long_ago = [], 1_000_000_000
    for number, size in enumerate((MIN_SIZE, MIN_SIZE + 9 * MIB + 5 * SECTOR)):
        image, made = tmp_path / f"{number}.raw", tmp_path / f"{number}.mf"
        write_probe(image, size=size)
        of = probe_map(size, B)
        made.write_bytes(b"by BUILDER7 " + numbered(of))
        for path in (image, made):
            os.utime(path, (long_ago, long_ago))
        pairs.append((image, made))
    learned = learn_files(pairs)
    assert learned.outcome == "none"
    assert "names 'builder7'" in learned.reached
    monkeypatch.setattr(socket, "gethostname", lambda: "other")

    def nameless() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert learn_files(pairs).outcome == "one"
