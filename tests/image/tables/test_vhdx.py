"""A VHDX: a block of an entry that was changed lies where none can be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imsprep.image.tables import vhdx
from imsprep.image.tables.ledger import SurveyError
from imsprep.units import MIB
from tests.conftest import need

pytestmark = need("qemu-img")
BLOCK = 64 * MIB


def made(folder: Path, size: int) -> bytearray:
    """Return an image of a disk of `size` bytes in blocks of 64 MiB, its end stored."""
    raw, image = folder / "disk.raw", folder / "disk.vhdx"
    with open(raw, "wb") as file:
        file.truncate(size)
        os.pwrite(file.fileno(), b"the end", size - 512)
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
