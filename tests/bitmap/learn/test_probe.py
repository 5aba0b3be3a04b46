"""The two probes differ in all that a tool may treat in a way of its own: none is learned wrongly."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from imsprep.bitmap.codec import encode
from imsprep.bitmap.layout import Bits, Entries, Number, shape_of
from imsprep.bitmap.learn.probe import (
    FIRST_SIZE,
    MIN_SIZE,
    SECOND_SIZE,
    probe_map,
    sector_content,
    sectors,
)
from imsprep.bitmap.learn.search import Sample, learn
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap
from imsprep.units import GIB, MIB, SECTOR
from tests.support.bitmap import foreign_layouts
from tests.support.bitmap.foreign_layouts import B, Tool

PROBES = [probe_map(size, B) for size in (FIRST_SIZE, SECOND_SIZE)]
RANGES = Entries((Number("start"), Number("length")))


def disks() -> Iterator[BlockMap]:
    """Disks that no learner saw, of whole blocks and not, full, plain, with data at either end."""
    choice = random.Random(3)
    for size in (64 * MIB, 64 * MIB + 512, 66 * MIB, 6 * GIB, 70 * GIB + 1536, 172 * GIB):
        blocks = -(-size // B)
        for share in (0.02, 0.8) if blocks < 10_000 else (0.1,):
            flags = np.array([choice.random() < share for _ in range(min(blocks, 4096))])
            flags = np.resize(flags, blocks)
            for first, last in ((False, False), (True, False), (False, True), (True, True)):
                flags[0], flags[-1] = first, last
                yield BlockMap.from_flags(size, B, flags)
            flags[:] = False
            flags[blocks // 4 : blocks // 4 + int(blocks * share)] = True
            yield BlockMap.from_flags(size, B, flags)


DISKS = list(disks())


def right_for(tool: Tool) -> int | None:
    """Learn a tool's layout of the two probes: for how many disks it holds; None if not learned."""
    learned = learn([Sample(probe, tool(probe)) for probe in PROBES])
    if learned.outcome != "one":
        return None
    (layout,) = learned.layouts
    right = 0
    for disk in DISKS:
        try:
            made = encode(disk, layout)
        except FormatError:
            continue
        assert made == tool(disk), disk
        right += 1
    return right


@pytest.mark.slow
@pytest.mark.parametrize("tool", foreign_layouts.FITTING, ids=lambda tool: tool.__name__)
def test_a_layout_of_a_known_kind_is_learned_for_most_disks(tool: Tool) -> None:
    right = right_for(tool)
    lists = tool(PROBES[0]).count(b"\0\0") > 40 or tool is foreign_layouts.table_of_bytes
    assert right is not None
    assert right >= len(DISKS) // (4 if lists else 2)


@pytest.mark.parametrize("tool", foreign_layouts.OTHERS, ids=lambda tool: tool.__name__)
def test_any_other_layout_is_right_or_refused(tool: Tool) -> None:
    right_for(tool)  # asserts for each disk


def test_the_probes_have_all_shapes_between_them() -> None:
    first, second = (shape_of(probe, Bits()) for probe in PROBES)
    assert first == ("some", True, True, True, True, 0, 0)
    assert second == ("some", False, False, False, False, 0, 0)
    listed = shape_of(PROBES[1], RANGES)
    assert listed.entries > 512
    assert listed.longest > 1024


def test_the_first_sector_ends_as_a_boot_record() -> None:
    """A tool may look for one: the first probe has it, the second holds nothing there."""
    assert sector_content(0)[510:] == b"\x55\xaa"
    assert sector_content(1)[510:] == b".."
    assert len(sector_content(0)) == len(sector_content(1)) == SECTOR
    assert sectors(FIRST_SIZE)[0] == 0
    assert sectors(SECOND_SIZE)[0] > 0


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
