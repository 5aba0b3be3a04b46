"""A VHDX: an entry that was changed or lost is noticed, and space that was given back is none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imsprep.image.tables import vhdx
from imsprep.image.tables.ledger import SurveyError
from imsprep.units import MIB
from tests.support.running import need

pytestmark = need("qemu-img")
BLOCK = 64 * MIB


def made(folder: Path, size: int, data_at: tuple[int, ...] = ()) -> bytearray:
    """Return an image of a disk of `size` bytes in blocks of 64 MiB, its end stored."""
    raw, image = folder / "disk.raw", folder / "disk.vhdx"
    with open(raw, "wb") as file:
        file.truncate(size)
        for at in data_at or (size - 512,):
            os.pwrite(file.fileno(), b"the end", at)
    options = ["-o", f"block_size={BLOCK}"]
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vhdx", *options, raw, image], check=True
    )
    return bytearray(image.read_bytes())


def check(data: bytes) -> vhdx.Survey:
    return vhdx.survey(lambda at, length: bytes(data[at : at + length]), len(data))


@pytest.mark.parametrize("size", [20 * MIB, BLOCK, BLOCK + 20 * MIB])
def test_the_last_block_may_be_whole_or_end_with_the_disk(size: int, tmp_path: Path) -> None:
    data = made(tmp_path, size)
    assert check(data).virtual_size == size
    if size % BLOCK:
        assert check(data[: len(data) - BLOCK + size % BLOCK]).virtual_size == size


@pytest.mark.parametrize("size", [20 * MIB, BLOCK + 20 * MIB])
def test_an_entry_that_leads_elsewhere_is_refused(size: int, tmp_path: Path) -> None:
    data = made(tmp_path, size)
    table = 2 * MIB + 8 * ((size - 1) // BLOCK)
    data[table + 3] ^= 1  # 16 MiB further
    with pytest.raises(SurveyError, match="no block can be"):
        check(data)


def lost(data: bytearray, state: int) -> vhdx.Survey:
    """Empty the entry of the first block of an image, and look at the gap that it leaves."""
    table = 2 * MIB
    data[table : table + 8] = state.to_bytes(8, "little")
    return check(data)


def test_an_entry_that_was_zeroed_leaves_a_gap_that_nothing_explains(tmp_path: Path) -> None:
    data = made(tmp_path, 3 * BLOCK, data_at=(512, 3 * BLOCK - 512))
    found = lost(data, 0)
    assert sum(length for _, length in found.ledger.gaps(BLOCK)) > found.freed
    found = lost(data, 2)  # as Windows has it of a block that the guest gave back
    assert sum(length for _, length in found.ledger.gaps(BLOCK)) <= found.freed


def test_space_that_an_entry_names_is_no_gap(tmp_path: Path) -> None:
    data = made(tmp_path, 3 * BLOCK, data_at=(512, 3 * BLOCK - 512))
    place = int.from_bytes(data[2 * MIB : 2 * MIB + 8], "little") & ~7
    assert not lost(data, place | 3).ledger.gaps(BLOCK)
